'use strict';
// What was found, as tables and as JSON of the shape that bench/src/report.rs writes.

const fs = require('node:fs');
const os = require('node:os');

const { places } = require('./programs');

const number = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 3 : 1));

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

function ofTimes(groups, targets) {
  return targets.flatMap(({ group: name, of, to, atMost }) => {
    const group = groups.find((one) => one.name === name);
    const ratio = group?.ratio(of, to);
    if (ratio === undefined) return [];
    return [{
      name: `${name}: ${of} to ${to}`, value: group.row(of).at(0.5), unit: 'ns',
      to: group.row(to).at(0.5), ratio: ratio.value, at_most: atMost, met: ratio.value <= atMost,
    }];
  });
}

function ofFigures(figures) {
  return figures.flatMap(({ name, value, unit, atMost, atLeast }) => {
    if (atMost === undefined && atLeast === undefined) return [];
    const met = atMost === undefined ? value >= atLeast : value <= atMost;
    const limit = atMost === undefined ? { at_least: atLeast } : { at_most: atMost };
    return [{ name, value, unit, to: null, ratio: null, ...limit, met }];
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

/** A Markdown table whose columns line up, all but the first to the right. */
function table(headings, lines) {
  const rows = [headings, ...lines].map((line) => line.map(String));
  const widths = headings.map((_, at) => Math.max(...rows.map((row) => row[at].length)));
  const rule = widths.map((width, at) => (at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  const show = (row) => `| ${row.map((cell, at) =>
    (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join(' | ')} |`;
  const [head, ...rest] = rows;
  return `${[show(head), show(rule), ...rest.map(show)].join('\n')}\n`;
}

function toText(found) {
  const { machine: where, targets, times, figures } = toJson(found);
  const ratio = (value) => (value === null ? '' : value.toFixed(3));
  const parts = [
    `${where.cpu}, ${where.cpus} CPUs, kernel ${where.kernel}, Node ${where.node}; ${where.places}\n`,
    table(
      ['measured side by side', 'median ns', 'p99 ns', 'to first', 'half of the rounds', 'samples', 'missed'],
      times.map((row) => [
        `${row.group}: ${row.name}`, row.median_ns.toFixed(1), row.p99_ns.toFixed(1),
        ratio(row.ratio_to_first), row.ratio_quartiles?.map(ratio).join(' to ') ?? '', row.samples, row.missed,
      ]),
    ),
    table(['measured', 'value', ''], figures.map(({ name, value, unit }) => [name, number(value), unit])),
    table(
      ['target', 'value', '', 'to', 'ratio', 'limit', ''],
      targets.map(({ name, value, unit, to, ratio: r, at_most: most, at_least: least, met }) => [
        name, number(value), unit, to === null ? '' : number(to), ratio(r),
        most === undefined ? `at least ${number(least)}` : `at most ${number(most)}`, met ? 'met' : 'NOT MET',
      ]),
    ),
  ];
  const missed = targets.filter(({ met }) => !met).length;
  parts.push(missed === 0
    ? `all ${targets.length} targets met`
    : `${missed} of ${targets.length} targets NOT MET`);
  return parts.join('\n');
}

function write(found, file) {
  console.log(toText(found));
  if (file !== undefined) fs.writeFileSync(file, `${JSON.stringify(toJson(found), null, 2)}\n`);
}

module.exports = { write };
