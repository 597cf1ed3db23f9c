'use strict';
// Parses JSON with whole numbers as bigints. JSON.parse would round large ones, and a reviver sees
// only the rounded numbers.

const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs;
// In JSON a string can contain this only as an escape, and such a file is refused below.
const MARK = '\u0001integer:';

function parse(text) {
  if (/\\u0001integer:/i.test(text)) throw new Error('it contains a reserved string');
  const marked = text.replace(TOKENS, (token) =>
    (/^-?(?:0|[1-9]\d*)$/.test(token) ? JSON.stringify(MARK + token) : token));
  return JSON.parse(marked, (_, value) =>
    (typeof value === 'string' && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value));
}

/** Formats a value for messages, as it is in the file. */
function show(value) {
  return JSON.stringify(value, (_, inner) =>
    (typeof inner === 'bigint' ? `${MARK}${inner}` : inner))
    ?.replaceAll(/"\\u0001integer:(-?\d+)"/g, '$1') ?? 'nothing';
}

module.exports = { parse, show };
