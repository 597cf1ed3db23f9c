'use strict';
// The package in its published form, installed into an empty project.

const { createRequire } = require('node:module');
const path = require('node:path');

const { build } = require('../../bindings/node/tool/build');

// Tests have already built it.
const project = process.env.VARTA_PROJECT ?? build();

module.exports = { varta: createRequire(path.join(project, 'package.json'))('varta') };
