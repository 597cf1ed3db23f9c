'use strict';
// Objects to end when the thread ends by itself, of which Node does not notify the native half.
// They may be garbage-collected before.

const open = new Map();

/** Calls `end` with the object and the exit code, unless it is collected or forgotten before. */
function atExit(object, end) {
  if (open.size === 0) process.on('exit', endAll);
  const weak = new WeakRef(object);
  open.set(weak, end);
  collected.register(object, weak);
  return weak;
}

function forget(weak) {
  open.delete(weak);
  if (open.size === 0) process.off('exit', endAll);
}

const collected = new FinalizationRegistry(forget);

function endAll(code) {
  const failures = [];
  for (const [weak, end] of open) {
    const object = weak.deref();
    if (object === undefined) continue;
    try {
      end(object, code);
    } catch (failure) {
      failures.push(failure);
    }
  }
  // One that cannot be ended must not keep the others open.
  if (failures.length > 0) throw failures[0];
}

module.exports = { atExit, forget };
