'use strict';
// Writes the results of a benchmark as JSON, in the format of bench/src/report.rs.

const fs = require('node:fs');
const os = require('node:os');

const { places } = require('./programs');

function machine() {
  const [{ model = 'unknown' } = {}] = os.cpus();
  return {
    cpu: model,
    cpus: os.cpus().length,
    architecture: process.arch,
    kernel: os.release(),
    node: process.version,
    places: `sender on CPU ${places.sender}, receiver on CPU ${places.receiver}`,
  };
}

/** A target without samples is reported as not measured. */
function ofTimes(groups, targets) {
  return targets.map(({ group: name, of, to, atMost }) => {
    const group = groups.find((one) => one.name === name);
    const ratio = group?.ratio(of, to);
    return {
      name: `${name}: ${of} to ${to}`, value: group?.row(of)?.at(0.5) ?? null, unit: 'ns',
      to: group?.row(to)?.at(0.5) ?? null, ratio: ratio?.value ?? null, at_most: atMost,
      measured: Number.isFinite(ratio?.value),
    };
  });
}

function ofFigures(figures) {
  return figures.flatMap(({ name, value, unit, atMost, atLeast, measured }) => {
    if (atMost === undefined && atLeast === undefined) return [];
    const limit = atMost === undefined ? { at_least: atLeast } : { at_most: atMost };
    const target = { name, value, unit, to: null, ratio: null, ...limit };
    return [{ ...target, measured: measured && Number.isFinite(value) }];
  });
}

function toJson({ groups, figures, targets }) {
  return {
    machine: machine(),
    targets: [...ofTimes(groups, targets), ...ofFigures(figures)],
    times: groups.flatMap((group) => group.rows.map((row) => {
      const [first] = group.rows;
      const ratio = row === first ? undefined : group.ratio(row.name, first.name);
      return {
        group: group.name, name: row.name, median_ns: row.at(0.5), p99_ns: row.at(0.99),
        samples: row.samples.length, missed: row.missed, ratio_to_first: ratio?.value ?? null,
        ratio_quartiles: ratio?.quartiles ?? null,
      };
    })),
    figures: figures.map(({ name, value, unit }) => ({ name, value, unit })),
  };
}

function write(found, file) {
  const text = `${JSON.stringify(toJson(found), null, 2)}\n`;
  if (file === undefined) process.stdout.write(text);
  else fs.writeFileSync(file, text);
}

module.exports = { write };
