'use strict';
// The file: a header that says which protocol, and arrays of vectors, or stories.

const fs = require('node:fs');

const { Fields } = require('./fields');
const { parse, show } = require('./json');
const { varta } = require('./package');

const CRC32C_VECTORS = 'crc32c_vectors';
const STORIES = 'stories';
const ARRAYS = [CRC32C_VECTORS, 'frame_vectors', 'secure_frame_vectors'];

class Vector {
  constructor(array, place, value) {
    this.array = array;
    this.place = place;
    this.value = value;
  }

  /** The id, or where the vector stands if it has none. */
  get name() {
    const { id } = this.value ?? {};
    return typeof id === 'string' ? id : `${this.array}[${this.place}]`;
  }

  /** The array of checksums is of one kind, and its vectors need not name it. So are stories. */
  kind() {
    const fields = new Fields(this.value);
    if (this.array === STORIES) return 'story';
    return this.array === CRC32C_VECTORS && !fields.has('kind') ? 'crc32c' : fields.text('kind');
  }
}

function load(path) {
  const text = fs.readFileSync(path, 'utf8');
  let document;
  try {
    document = parse(text);
  } catch (error) {
    throw new Error(`it is not a JSON object: ${error.message}`);
  }
  if (document === null || typeof document !== 'object' || Array.isArray(document)) {
    throw new Error('it is not a JSON object');
  }
  checkHeader(document);
  const required = Object.hasOwn(document, STORIES) ? [STORIES] : ARRAYS;
  for (const name of required) {
    if (!Array.isArray(document[name])) throw new Error(`it has no array ${name}`);
  }
  // Arrays that nobody here knows are read too: their vectors count as skipped.
  const vectors = Object.entries(document)
    .filter(([name, values]) => (name.endsWith('_vectors') || name === STORIES) && Array.isArray(values))
    .flatMap(([name, values]) => values.map((value, place) => new Vector(name, place, value)));
  if (vectors.length === 0) throw new Error(`it has no ${required === ARRAYS ? 'vectors' : STORIES}`);
  return vectors;
}

/** A file for another protocol would fail a thousand times; this says it once. */
function checkHeader(document) {
  const wire = new varta.Frame('ok', 2, 0, 1, 0).encode();
  const header = {
    magic_hex: wire.toString('hex', 0, 2),
    version_byte: BigInt(wire[2]),
    nonce_terminal_hex: varta.NONCE_TERMINAL.toString(16),
  };
  for (const [name, ours] of Object.entries(header)) {
    const theirs = document[name];
    if (theirs === undefined) throw new Error(`it has no ${name}`);
    if (theirs !== ours) {
      throw new Error(`its ${name} is ${show(theirs)}, and here it is ${show(ours)}`);
    }
  }
}

module.exports = { load };
