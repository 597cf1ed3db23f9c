'use strict';
// Checks the installed npm package `varta` against a file of conformance vectors or stories. Prints
// the failures, then the numbers of passed and failed ones.

const { load } = require('./document');
const { Fields } = require('./fields');
const { Report } = require('./report');
const { checkOf } = require('./checks');

const USAGE = `usage: node conformance/node/main.js [--json] FILE
  --json  print the counts of each kind as a JSON object instead of the sums`;

function run(path) {
  const report = new Report();
  for (const vector of load(path)) {
    let kind = 'unnamed';
    try {
      kind = vector.kind();
      const check = checkOf(kind);
      if (check === undefined) {
        report.skipped(kind);
        continue;
      }
      const fields = new Fields(vector.value);
      fields.text('id');
      check(fields);
      report.passed(kind);
    } catch (failure) {
      report.failed(kind, `FAIL ${vector.name}: ${failure.message}`);
    }
  }
  return report;
}

/** Returns the exit code. `out` and `err` take what is printed. */
function main(args, out, err) {
  if (args.some((arg) => arg === '--help' || arg === '-h')) {
    out(`${USAGE}\n`);
    return 0;
  }
  const flags = args.filter((arg) => arg.startsWith('-'));
  const paths = args.filter((arg) => !arg.startsWith('-'));
  if (paths.length !== 1 || flags.some((flag) => flag !== '--json')) {
    err(`${USAGE}\n`);
    return 2;
  }
  let report;
  try {
    report = run(paths[0]);
  } catch (error) {
    err(`cannot use ${paths[0]}: ${error.message}\n`);
    return 2;
  }
  out(report.details());
  out(`${flags.length > 0 ? JSON.stringify(report.counts()) : report.sums()}\n`);
  return report.hasFailed ? 1 : 0;
}

module.exports = { main };

if (require.main === module) {
  process.exitCode = main(
    process.argv.slice(2),
    (text) => process.stdout.write(text),
    (text) => process.stderr.write(text),
  );
}
