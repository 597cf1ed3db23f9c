'use strict';
// Measures several calls side by side, so that noise affects all of them alike. See bench/README.md.

/** A sample times this many calls in a row, after a pause this long. */
const EACH = 4;
const GAP_NS = 15_000;
const BLOCK = 32;

/** The value below which this share of the sorted values lies. */
function quantile(sorted, share) {
  return sorted[Math.round((sorted.length - 1) * share)] ?? NaN;
}

const ascending = (one, other) => one - other;

class Row {
  samples = [];
  rounds = [];
  missed = 0;

  constructor(name) {
    this.name = name;
  }

  add({ samples, missed }) {
    this.rounds.push(quantile([...samples].sort(ascending), 0.5));
    this.samples.push(...samples);
    this.missed += missed;
  }

  at(share) {
    return quantile([...this.samples].sort(ascending), share);
  }
}

class Group {
  constructor(name, rows) {
    this.name = name;
    this.rows = rows;
  }

  row(name) {
    return this.rows.find((row) => row.name === name);
  }

  /** The median over all rounds of the ratio of medians, and the quartiles of the ratio. */
  ratio(of, to) {
    const [one, other] = [this.row(of), this.row(to)];
    if (one === undefined || other === undefined) return undefined;
    const ratios = one.rounds.map((median, round) => median / other.rounds[round]).sort(ascending);
    return {
      value: quantile(ratios, 0.5), quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    };
  }
}

/** Gives each contender a turn in each round. Another one goes first in each round. */
async function sideBySide(name, { seconds, setUps }, setUp) {
  let rows;
  for (let again = 0; again < setUps; again += 1) {
    const { contenders, end } = await setUp();
    rows ??= contenders.map((contender) => new Row(contender.name));
    // Warms up, so that the JIT compiler has optimized the calls.
    for (const contender of contenders) await contender.block(8 * BLOCK, EACH, 0);
    const until = Date.now() + (seconds * 1000) / setUps;
    for (let round = 0; round === 0 || Date.now() < until; round += 1) {
      for (let turn = 0; turn < contenders.length; turn += 1) {
        const at = (turn + round) % contenders.length;
        rows[at].add(await contenders[at].block(BLOCK, EACH, GAP_NS));
      }
    }
    await end();
  }
  return new Group(name, rows);
}

/** A contender that runs in this process. `call` returns whether it succeeded. */
function here(name, call) {
  function samplesOf(count, each, gapNs) {
    const samples = [];
    let missed = 0;
    while (samples.length < count) {
      const start = process.hrtime.bigint() + BigInt(gapNs);
      while (process.hrtime.bigint() < start);
      let good = 0;
      const before = process.hrtime.bigint();
      for (let i = 0; i < each; i += 1) good += call();
      const took = process.hrtime.bigint() - before;
      if (good === each) samples.push(Number(took) / each);
      else missed += each - good;
      if (missed > 100_000) throw new Error(`${name} fails too often`);
    }
    return { samples, missed };
  }
  return {
    name,
    async block(count, each, gapNs) {
      const clock = clockCost() / each;
      const block = samplesOf(count, each, gapNs);
      block.samples = block.samples.map((ns) => Math.max(0, ns - clock));
      // Lets a contender finish its work in the event loop before the next one runs.
      await new Promise(setImmediate);
      return block;
    },
  };
}

/** The cost of reading the clock twice, which each sample contains. */
function clockCost() {
  const costs = [];
  for (let i = 0; i < BLOCK; i += 1) {
    const before = process.hrtime.bigint();
    costs.push(Number(process.hrtime.bigint() - before));
  }
  return quantile(costs.sort(ascending), 0.5);
}

module.exports = { ascending, here, quantile, sideBySide };
