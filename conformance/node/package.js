'use strict';
// The package as it is published, installed into an empty project.

const { createRequire } = require('node:module');
const path = require('node:path');

const { build } = require('../../bindings/node/tool/build');

// Tests have it built already.
const project = process.env.VARTA_PROJECT ?? build();

module.exports = { varta: createRequire(path.join(project, 'package.json'))('varta') };
