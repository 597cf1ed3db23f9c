'use strict';
// The package in its published form, which bindings/node/tool/build.js has installed.

const { createRequire } = require('node:module');
const path = require('node:path');

const { project } = require('../../../bindings/node/tool/build');

module.exports = createRequire(path.join(project, 'package.json'))('varta');
