'use strict';
// One check for each kind of vector.

const { Failure, same } = require('./fields');
const { laneStory } = require('./lane-story');
const { varta } = require('./package');
const { story } = require('./story');

const { Frame, crc32c, secure, v1 } = varta;

const hex = (bytes) => bytes.toString('hex');

/** The result of decoding: all fields as one line, or the kind of error. */
function decoded(kind, wire) {
  try {
    return fieldsOf(kind.decode(wire));
  } catch (error) {
    if (error instanceof varta.DecodeError) return error.kind;
    throw error;
  }
}

function fieldsOf({ status, pid, timestamp, nonce, payload }) {
  return JSON.stringify([status, pid, String(timestamp), String(nonce), String(payload)]);
}

function opened(open) {
  try {
    return hex(open());
  } catch (error) {
    if (error instanceof secure.AuthError) return error.name;
    throw error;
  }
}

function statusIn(fields) {
  const word = fields.text('status');
  const found = { ok: 0, degraded: 1, critical: 2, stall: 3 }[word];
  if (found === undefined) throw new Failure('status', 'the name of a status', word);
  return found;
}

function roundtrip(kind, fields, payload, wire) {
  const frame = new kind(
    statusIn(fields), fields.number('pid'), fields.whole('timestamp', 64),
    fields.whole('nonce', 64), payload,
  );
  same('encoding', hex(wire), hex(frame.encode()));
  same('decoding', fieldsOf(frame), decoded(kind, wire));
}

function derivation(vector, name, length, derived) {
  same('derivation', hex(vector.bytes(name, length)), hex(derived));
}

/** The prefix, the counter and the plaintext. */
function toSeal(vector) {
  return [
    vector.bytes('iv_random_hex', 8), vector.number('iv_counter'), vector.bytes('plaintext_hex', 32),
  ];
}

const checks = {
  lane_story: laneStory,
  story,

  crc32c(vector) {
    const crc = crc32c(vector.bytes('input_hex')).toString(16).padStart(8, '0');
    same('checksum', vector.text('expected_crc_hex'), crc);
  },

  encode_decode_roundtrip(vector) {
    vector.null('expected_decode_error');
    const wire = vector.bytes('expected_wire_hex', 32);
    const inputs = vector.object('inputs');
    roundtrip(Frame, inputs, inputs.number('payload'), wire);
  },

  decode_error(vector) {
    same('decoding', vector.text('expected_decode_error'), decoded(Frame, vector.bytes('wire_hex', 32)));
  },

  frame_length(vector) {
    const wire = vector.bytes('wire_hex');
    for (const kind of [Frame, v1.Frame]) {
      try {
        kind.decode(wire);
      } catch (error) {
        if (error instanceof RangeError) continue;
      }
      throw new Failure('decoding', 'no frame', decoded(kind, wire));
    }
  },

  v1_decode(vector) {
    const wire = vector.bytes('wire_hex', 32);
    const error = vector.textOrNull('expected_decode_error');
    if (error !== null) {
      vector.null('expected_fields');
      same('decoding', error, decoded(v1.Frame, wire));
      return;
    }
    const fields = vector.object('expected_fields');
    roundtrip(v1.Frame, fields, fields.whole('payload', 64), wire);
  },

  kdf_agent_key(vector) {
    const master = vector.bytes('master_key_hex', 32);
    const key = secure.deriveAgentKey(master, vector.number('agent_id'));
    derivation(vector, 'expected_okm_hex', 32, key);
  },

  kdf_iv_prefix(vector) {
    const salt = vector.bytes('session_salt_hex', 16);
    const prefix = secure.deriveIvPrefix(salt, vector.number('prefix_index'));
    derivation(vector, 'expected_iv_prefix_hex', 8, prefix);
  },

  shared_key_seal(vector) {
    const key = vector.bytes('key_hex', 32);
    const [prefix, counter, plain] = toSeal(vector);
    const wire = vector.bytes('expected_wire_hex', secure.SHARED_BYTES);
    same('sealing', hex(wire), hex(secure.seal(key, prefix, counter, plain)));
    same('opening', hex(plain), opened(() => secure.open(key, wire)));
  },

  master_key_seal(vector) {
    const pid = vector.number('agent_pid');
    const master = vector.bytes('master_key_hex', 32);
    const derived = secure.deriveAgentKey(master, pid);
    derivation(vector, 'derived_agent_key_hex', 32, derived);
    const [prefix, counter, plain] = toSeal(vector);
    const wire = vector.bytes('expected_wire_hex', secure.MASTER_BYTES);
    same('sealing', hex(wire), hex(secure.sealAs(pid, derived, prefix, counter, plain)));
    // A sealing vector may contain any 32 bytes. Only a frame with that pid can be opened.
    const expected = plain.readUInt32LE(4) === pid ? hex(plain) : 'AuthError';
    same('opening', expected, opened(() => secure.openWithMaster(master, wire)));
  },

  open_error(vector) {
    const wire = vector.bytes('wire_hex');
    const got = vector.has('master_key_hex')
      ? opened(() => secure.openWithMaster(vector.bytes('master_key_hex', 32), wire))
      : opened(() => secure.open(vector.bytes('key_hex', 32), wire));
    same('opening', vector.text('expected_open_error'), got);
  },
};

/** Returns the check for a kind, if it is known. */
function checkOf(kind) {
  return Object.hasOwn(checks, kind) ? checks[kind] : undefined;
}

module.exports = { checkOf };
