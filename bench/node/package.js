'use strict';
// The package as users install it, from where bindings/node/tool/build.js has installed it.

const { createRequire } = require('node:module');
const path = require('node:path');

const { project } = require('../../bindings/node/tool/build');

module.exports = createRequire(path.join(project, 'package.json'))('varta');
