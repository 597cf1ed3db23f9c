'use strict';
// Reads a file: a header that identifies the protocol, and arrays of vectors or stories.

const fs = require('node:fs');

const { Fields } = require('./fields');
const { parse, show } = require('./json');
const { varta } = require('./package');

const CRC32C_VECTORS = 'crc32c_vectors';
const STORIES = Object.freeze({ stories: 'story', lane_stories: 'lane_story' });
const ARRAYS = [CRC32C_VECTORS, 'frame_vectors', 'secure_frame_vectors'];

class Vector {
  constructor(array, index, value) {
    this.array = array;
    this.index = index;
    this.value = value;
  }

  /** The id, or the position of the vector if it has none. */
  get name() {
    const { id } = this.value ?? {};
    return typeof id === 'string' ? id : `${this.array}[${this.index}]`;
  }

  /** Checksum vectors and stories need not name their kind. */
  kind() {
    const fields = new Fields(this.value);
    if (Object.hasOwn(STORIES, this.array)) return STORIES[this.array];
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
  const stories = Object.keys(STORIES).filter((name) => Object.hasOwn(document, name));
  const required = stories.length > 0 ? stories : ARRAYS;
  for (const name of required) {
    if (!Array.isArray(document[name])) throw new Error(`it has no array ${name}`);
  }
  // Unknown arrays are read too: their vectors count as skipped.
  const vectors = Object.entries(document)
    .filter(([name, values]) => (name.endsWith('_vectors') || Object.hasOwn(STORIES, name)) && Array.isArray(values))
    .flatMap(([name, values]) => values.map((value, index) => new Vector(name, index, value)));
  if (vectors.length === 0) throw new Error(`it has no ${required === ARRAYS ? 'vectors' : 'stories'}`);
  return vectors;
}

/** Refuses a file for another protocol, in which every vector would fail. */
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
      throw new Error(`its ${name} is ${show(theirs)}, but ${show(ours)} is supported`);
    }
  }
}

module.exports = { load };
