'use strict';
// The symbols of `using`, which the first releases of Node 20 may lack.

module.exports = {
  dispose: Symbol.dispose ?? Symbol.for('nodejs.dispose'),
  asyncDispose: Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose'),
};
