// Counters become rates: differences of what the daemon counts since its start, over its own clock.

const kWindowSeconds = 300;
/** Rates shown as "now" are of the last few seconds: one second alone jumps. */
const kNowSeconds = 5;

/** Keeps the counters of the last five minutes. A restart of the daemon begins a new row; the gap stays a gap. */
export class Rates {
  constructor() {
    this.points = [];  // {at: seconds of the page's clock, counters: {name: bytes}, fresh: nothing is known before}
    this.started = null;
  }

  add(at, started, counters) {
    const fresh = this.started !== started;
    this.started = started;
    this.points.push({at, counters, fresh});
    while (this.points.length > 2 && this.points[1].at < at - kWindowSeconds) this.points.shift();
  }

  /** Bytes a second over the last seconds; null before there are two points. */
  now(name) {
    const last = this.points.at(-1);
    if (!last || last.fresh) return null;
    let first = last;
    for (let i = this.points.length - 2; i >= 0; --i) {
      if (last.at - this.points[i].at > kNowSeconds && first !== last) break;
      first = this.points[i];
      if (first.fresh) break;
    }
    const spent = last.at - first.at;
    return spent > 0 ? Math.max(0, (last.counters[name] - first.counters[name]) / spent) : null;
  }

  /** One row a point: {at, spent, values: [bytes a second of each name]}; `values` is null where nothing is known. */
  rows(names) {
    const rows = [];
    for (let i = 1; i < this.points.length; ++i) {
      const [before, after] = [this.points[i - 1], this.points[i]];
      const spent = after.at - before.at;
      const unknown = after.fresh || spent <= 0 || spent > 60;
      rows.push({
        at: after.at,
        spent,
        values: unknown ? null :
                          names.map((name) => Math.max(0, (after.counters[name] - before.counters[name]) / spent))
      });
    }
    return rows;
  }
}

export const kChartSeconds = kWindowSeconds;
