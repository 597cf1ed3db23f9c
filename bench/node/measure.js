'use strict';
// Several things side by side, so that noise meets all of them alike: see bench/README.md.

/** What a sample is: so many calls in a row, timed together, after so long a pause. */
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

  /** The median of all rounds' ratios of medians, and between what half of them lie. */
  ratio(of, to) {
    const [one, other] = [this.row(of), this.row(to)];
    if (one === undefined || other === undefined) return undefined;
    const ratios = one.rounds.map((median, round) => median / other.rounds[round]).sort(ascending);
    return {
      value: quantile(ratios, 0.5), quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    };
  }
}

/** Gives each contender its turn, round after round; the first turn goes around. */
async function sideBySide(name, { seconds, setUps }, setUp) {
  let rows;
  for (let again = 0; again < setUps; again += 1) {
    const { contenders, end } = await setUp();
    rows ??= contenders.map((contender) => new Row(contender.name));
    // What the compiler makes of a call is settled before it counts.
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

/** A contender that is called here; `call` says whether it went as it should. */
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
      if (missed > 100_000) throw new Error(`${name} goes wrong`);
    }
    return { samples, missed };
  }
  return {
    name,
    async block(count, each, gapNs) {
      const clock = clockCost() / each;
      const block = samplesOf(count, each, gapNs);
      block.samples = block.samples.map((ns) => Math.max(0, ns - clock));
      // What a contender has left to do in the loop is not the next one's burden.
      await new Promise(setImmediate);
      return block;
    },
  };
}

/** What it costs to look at the clock twice, which each sample contains. */
function clockCost() {
  const looks = [];
  for (let i = 0; i < BLOCK; i += 1) {
    const before = process.hrtime.bigint();
    looks.push(Number(process.hrtime.bigint() - before));
  }
  return quantile(looks.sort(ascending), 0.5);
}

module.exports = { ascending, here, quantile, sideBySide };
