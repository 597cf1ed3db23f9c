'use strict';
// The status in an argument.

const check = require('./check');
const { Status } = require('./numbers');

const names = Object.freeze({ ok: 0, degraded: 1, critical: 2 });

/** A status by its number or its name. */
function statusOf(status) {
  if (typeof status === 'string' && Object.hasOwn(names, status)) return names[status];
  if (typeof status !== 'number') {
    throw check.wrongType('status', "a Status, or 'ok', 'degraded' or 'critical'", status);
  }
  if (Status[status] === undefined) throw check.outOfRange('status', 'a Status', status);
  return status;
}

module.exports = { statusOf };
