'use strict';
// The public API. The exports are one literal, so that `import { Varta } from 'varta'` finds every
// name too.

const { DEFAULT_ENDPOINT, Varta, VartaV1 } = require('./agent');
const { beatForever } = require('./beat-forever');
const { ObserverEvent } = require('./events');
const { DecodeError, FRAME_BYTES, Frame, FrameV1, NONCE_TERMINAL, crc32c } = require('./frame');
const { DropReason, NEVER, Origin, Status } = require('./numbers');
const { Observer } = require('./observer');
const { BeatError, BeatOutcome, classifySendError } = require('./outcome');
const panic = require('./panic');
const secure = require('./secure');
const { Simulated } = require('./simulated');
const { Span, Task } = require('./task');
const { version } = require('../package.json');

const v1 = Object.freeze({ Frame: FrameV1, Varta: VartaV1 });

module.exports = {
  BeatError,
  BeatOutcome,
  DEFAULT_ENDPOINT,
  DecodeError,
  DropReason,
  FRAME_BYTES,
  Frame,
  NEVER,
  NONCE_TERMINAL,
  Observer,
  ObserverEvent,
  Origin,
  Simulated,
  Span,
  Status,
  Task,
  Varta,
  beatForever,
  classifySendError,
  crc32c,
  panic,
  secure,
  v1,
  version,
};
