'use strict';
// JSON whose whole numbers are bigints, exact however large. JSON.parse would round them, and a
// reviver sees only what it has rounded to.

const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs;
// A string may hold it only escaped, and such a file is refused below.
const MARK = '\u0001integer:';

function parse(text) {
  if (/\\u0001integer:/i.test(text)) throw new Error('a string in it begins as only marks do');
  const marked = text.replace(TOKENS, (token) =>
    (/^-?(?:0|[1-9]\d*)$/.test(token) ? JSON.stringify(MARK + token) : token));
  return JSON.parse(marked, (_, value) =>
    (typeof value === 'string' && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value));
}

/** For messages: as it stood in the file. */
function show(value) {
  return JSON.stringify(value, (_, inner) =>
    (typeof inner === 'bigint' ? `${MARK}${inner}` : inner))
    ?.replaceAll(/"\\u0001integer:(-?\d+)"/g, '$1') ?? 'nothing';
}

module.exports = { parse, show };
