'use strict';
// The results of the vectors, as text and by kind.

class Report {
  #kinds = new Map();
  #failures = '';

  passed(kind) {
    this.#count(kind).passed += 1;
  }

  skipped(kind) {
    this.#count(kind).skipped += 1;
  }

  failed(kind, line) {
    this.#count(kind).failed += 1;
    this.#failures += `${line}\n`;
  }

  get hasFailed() {
    return this.#failures !== '';
  }

  /** A line for each vector that failed and for each kind that is unknown. */
  details() {
    const unknown = this.#sorted().filter(([, { skipped }]) => skipped > 0)
      .map(([kind, { skipped }]) => `SKIP ${skipped} of the unknown kind ${JSON.stringify(kind)}\n`);
    return this.#failures + unknown.join('');
  }

  sums() {
    const sum = (of) => this.#sorted().reduce((all, [, count]) => all + count[of], 0);
    const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : '';
    return `${sum('passed')} passed, ${sum('failed')} failed${skipped}`;
  }

  counts() {
    return Object.fromEntries(this.#sorted());
  }

  #sorted() {
    return [...this.#kinds].sort(([one], [other]) => (one < other ? -1 : 1));
  }

  #count(kind) {
    if (!this.#kinds.has(kind)) this.#kinds.set(kind, { passed: 0, failed: 0, skipped: 0 });
    return this.#kinds.get(kind);
  }
}

module.exports = { Report };
