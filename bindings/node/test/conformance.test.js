'use strict';
// The runner for the shared vectors must fail and name every wrong vector, and must report every
// vector that it skips.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { folder } = require('./support');

const conformance = path.join(process.env.VARTA_ROOT, 'conformance');
const committed = path.join(conformance, 'vectors/vlp.json');
const runner = path.join(conformance, 'node/main.js');
const { main } = require(runner);
const ARRAYS = ['crc32c_vectors', 'frame_vectors', 'secure_frame_vectors'];
// No language exports this derivation; the Rust runner alone checks it.
const RESERVED = 'kdf_epoch_key';

// Numbers above 2^53 are kept as text, and written back unchanged.
const text = fs.readFileSync(committed, 'utf8');
const document = JSON.parse(text.replace(/: (\d{16,})/g, ': "#$1"'));
const written = (value) => JSON.stringify(value).replace(/"#(\d+)"/g, '$1');

function run(...args) {
  let [out, err] = ['', ''];
  const code = main(args, (text) => { out += text; }, (text) => { err += text; });
  return { code, out, err };
}

function runText(t, content) {
  const file = path.join(folder(t), 'vectors.json');
  fs.writeFileSync(file, content);
  return run(file);
}

/** A document with only these vectors. */
function only(...vectors) {
  const file = { ...document, crc32c_vectors: [], frame_vectors: [], secure_frame_vectors: [] };
  for (const { array, vector } of vectors) file[array].push(vector);
  return file;
}

function sample(id) {
  for (const array of ARRAYS) {
    const vector = document[array].find((one) => one.id === id);
    if (vector) return { array, vector: structuredClone(vector) };
  }
  throw new Error(`no vector ${id}`);
}

test('the committed vectors pass and are counted by kind', () => {
  const total = ARRAYS.reduce((sum, array) => sum + document[array].length, 0);
  assert.ok(total >= 300);
  const reserved = document.secure_frame_vectors.filter(({ kind }) => kind === RESERVED).length;
  assert.deepEqual(run(committed), {
    code: 0,
    out: `SKIP ${reserved} of the unknown kind "${RESERVED}"\n${total - reserved} passed, 0 failed, ${reserved} skipped\n`,
    err: '',
  });
  const counts = JSON.parse(run('--json', committed).out.trim().split('\n').at(-1));
  assert.deepEqual(Object.keys(counts), [
    'crc32c', 'decode_error', 'encode_decode_roundtrip', 'frame_length', 'kdf_agent_key',
    RESERVED, 'kdf_iv_prefix', 'master_key_seal', 'open_error', 'shared_key_seal',
    'v1_decode',
  ]);
  delete counts[RESERVED];
  assert.ok(Object.values(counts).every(({ passed }) => passed > 0));
});

test('the program prints the result and exits with its code', () => {
  for (const [args, expected] of [[[committed], 0], [['--nope'], 2]]) {
    const { status, stdout, stderr } =
      spawnSync(process.execPath, [runner, ...args], { encoding: 'utf8' });
    const { code, out, err } = run(...args);
    assert.deepEqual([status, stdout, stderr], [code, out, err]);
    assert.equal(code, expected);
  }
});

test('a vector with one changed byte fails and is named', (t) => {
  for (const [id, field, at, mask] of [
    ['crc32c-check', 'input_hex', 0, 0xff], ['crc32c-check', 'expected_crc_hex', 3, 0xff],
    ['frame-golden-ok', 'expected_wire_hex', 31, 0xff], ['decode-version-1', 'wire_hex', 0, 0xff],
    ['v1-status-ok', 'wire_hex', 31, 0xff], ['v1-pid-0', 'wire_hex', 7, 0xff],
    ['kdf-agent-42', 'master_key_hex', 0, 0xff], ['kdf-agent-42', 'expected_okm_hex', 31, 0xff],
    ['kdf-iv-prefix-7', 'session_salt_hex', 15, 0xff],
    ['seal-shared-whole', 'key_hex', 0, 0xff], ['seal-shared-whole', 'expected_wire_hex', 59, 0xff],
    ['seal-master-whole', 'derived_agent_key_hex', 0, 0xff],
    ['seal-master-whole', 'expected_wire_hex', 0, 0xff],
    // Undoing the change makes the datagram valid, so it opens.
    ['open-shared-bit-0', 'wire_hex', 0, 0x01], ['open-master-bit-511', 'wire_hex', 63, 0x80],
  ]) {
    const { array, vector } = sample(id);
    const bytes = Buffer.from(vector[field], 'hex');
    bytes[at] ^= mask;
    vector[field] = bytes.toString('hex');
    const { code, out } = runText(t, written(only({ array, vector })));
    assert.ok(out.startsWith(`FAIL ${id}: `), `${id} ${field}: ${out}`);
    assert.ok(out.endsWith('\n0 passed, 1 failed\n'), out);
    assert.equal(code, 1);
  }
});

test('stories pass, and a wrong one fails and is named', (t) => {
  const stories = JSON.parse(fs.readFileSync(path.join(conformance, 'vectors/stories.json'), 'utf8')
    .replace(/: (\d{16,})/g, ': "#$1"'));
  const whole = run(path.join(conformance, 'vectors/stories.json'));
  assert.deepEqual(whole, { code: 0, out: `${stories.stories.length} passed, 0 failed\n`, err: '' });
  const [first] = stories.stories;
  const runWith = (change) => {
    const story = structuredClone(first);
    change(story);
    return runText(t, written({ ...stories, stories: [story] }));
  };
  for (const change of [
    (story) => { story.events[0].payload += 1; },
    (story) => { story.events[0].status = 'critical'; },
    (story) => { story.events[1].observer_ns += 1; },
    (story) => { story.events[1].step += 1; },
    (story) => { story.events.pop(); },
    (story) => { story.events.push({ ...story.events[0], step: 5 }); },
    (story) => { story.events[0].more = 1; },
    (story) => { delete story.events[0].missed; },
    (story) => { story.counters.beats += 1; },
    (story) => { delete story.counters.beats; },
    (story) => { story.counters.open_attempts = 1; },
    (story) => { story.steps[0].sender.uid = 5; },
    (story) => { story.steps[0].more = 5; },
    (story) => { story.steps[1].op = 'sing'; },
    (story) => { story.config.more = 5; },
    (story) => { delete story.config.uids; },
    (story) => { story.more = 5; },
  ]) {
    const { code, out } = runWith(change);
    assert.ok(out.startsWith(`FAIL ${first.id}: `), `${change}: ${out}`);
    assert.equal(code, 1);
  }
});

test('stories of the lane pass, and a wrong one fails and is named', (t) => {
  const file = path.join(conformance, 'vectors/lane-stories.json');
  const stories = JSON.parse(fs.readFileSync(file, 'utf8').replace(/: (\d{16,})/g, ': "#$1"'));
  const count = stories.lane_stories.length;
  assert.deepEqual(run(file), { code: 0, out: `${count} passed, 0 failed\n`, err: '' });
  const first = stories.lane_stories.find(({ id }) => id === 'a-task-that-falls-silent');
  const step = (story, op) => story.steps.find((one) => one.op === op);
  for (const change of [
    (story) => { story.events.find(({ kind }) => kind === 'stall').promise = 'span'; },
    (story) => { story.events.find(({ kind }) => kind === 'task').task_name = 'other'; },
    (story) => { delete story.events.find(({ task }) => task === 1).task; },
    (story) => { step(story, 'attach').page.threshold_ns += 1; },
    (story) => { step(story, 'attach').uid = 5; },
    (story) => { step(story, 'attach').more = 5; },
    (story) => { step(story, 'mapped').copy = 1; },
    (story) => { step(story, 'call').cold.name = 'other'; },
    (story) => { step(story, 'call').cold.state = 'odd'; },
    (story) => { story.steps.find(({ verb }) => verb === 'reach').hot.until -= 1; },
    (story) => { step(story, 'call').hot.which = 'odd'; },
    (story) => { delete step(story, 'call').hot.last; },
    (story) => { story.config.tasks = false; },
  ]) {
    const story = structuredClone(first);
    change(story);
    const { code, out } = runText(t, written({ ...stories, lane_stories: [story] }));
    assert.ok(out.startsWith(`FAIL ${first.id}: `), `${change}: ${out}`);
    assert.equal(code, 1);
  }
});

test('numbers are not rounded', (t) => {
  const { array, vector } = sample('frame-timestamp-9007199254740993');
  vector.inputs.timestamp = '#9007199254740992';
  const content = written(only({ array, vector }));
  const rounded = runText(t, content);
  assert.ok(rounded.out.startsWith('FAIL frame-timestamp-9007199254740993: encoding: '), rounded.out);
  const large = runText(t, content.replace('9007199254740992', '18446744073709551616'));
  assert.match(large.out, /timestamp: expected an unsigned number of 64 bits, got 18446744073709551616/);
});

test('a missing or invalid field fails and is named', (t) => {
  const broken = [];
  for (const id of [
    'crc32c-check', 'frame-golden-ok', 'decode-version-1', 'frame-length-33', 'v1-status-ok',
    'v1-pid-0', 'kdf-agent-42', 'kdf-iv-prefix-7', 'seal-shared-whole',
    'seal-master-whole', 'open-shared-bit-0', 'open-master-bit-511',
  ]) {
    const { array, vector } = sample(id);
    for (const name of Object.keys(vector)) {
      if (['id', 'description', 'info_hex'].includes(name)) continue;
      const { [name]: _, ...without } = vector;
      // A checksum need not name its kind.
      if (!(name === 'kind' && array === 'crc32c_vectors')) broken.push({ array, vector: without });
      for (const spoilt of [{}, -1, 1.5, [], true]) {
        broken.push({ array, vector: { ...vector, [name]: spoilt } });
      }
    }
  }
  broken.forEach(({ vector }, index) => { vector.id = `${vector.id}-${index}`; });
  const { code, out, err } = runText(t, written(only(...broken)));
  for (const { vector } of broken) assert.ok(out.includes(`FAIL ${vector.id}: `), vector.id);
  assert.ok(out.endsWith(`\n0 passed, ${broken.length} failed\n`), out);
  assert.deepEqual([code, err], [1, '']);
});

test('unknown kinds are reported as skipped', (t) => {
  const file = only(sample('frame-golden-ok'));
  for (const array of ARRAYS) file[array].push({ id: `new-${array}`, kind: 'novel' });
  file.other_vectors = [{ id: 'elsewhere', kind: 'foreign' }];
  const { code, out } = runText(t, written(file));
  assert.equal(
    out,
    'SKIP 1 of the unknown kind "foreign"\nSKIP 3 of the unknown kind "novel"\n'
      + '1 passed, 0 failed, 4 skipped\n',
  );
  assert.equal(code, 0);
});

test('an unusable file and bad arguments are refused with a reason', (t) => {
  for (const [content, reason] of [
    ['', 'it is not a JSON object'], [text.slice(0, text.length / 2), 'it is not a JSON object'],
    ['[]', 'it is not a JSON object'], ['{}', 'it has no magic_hex'],
    [written(only()), 'it has no vectors'],
    [written({ ...document, frame_vectors: {} }), 'it has no array frame_vectors'],
    [written({ ...document, magic_hex: '5642' }), 'its magic_hex is "5642"'],
    [written({ ...document, version_byte: 3 }), 'its version_byte is 3'],
  ]) {
    const { code, out, err } = runText(t, content);
    assert.ok(err.startsWith('cannot use ') && err.includes(reason), err);
    assert.deepEqual([code, out], [2, '']);
  }
  assert.equal(run('/nonexistent/vlp.json').code, 2);
  for (const args of [[], ['a', 'b'], ['--jsno', 'a'], ['--json']]) {
    const { code, err } = run(...args);
    assert.ok(err.startsWith('usage: '), err);
    assert.equal(code, 2);
  }
  assert.equal(run('--help').code, 0);
});
