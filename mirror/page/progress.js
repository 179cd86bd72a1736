// What a pull has done lately, from one look at it to the next: its rate, how long it has stood still, and why.
import * as format from './format.js';

/**
 * A pull that brought nothing for so long stands still. The daemon gives a client up, so that it may go elsewhere,
 * some seconds later.
 */
export const kStillSeconds = 4;
const kRateSeconds = 6;

const sum = (bytes) => (bytes ? bytes.storage + bytes.peer + bytes.upstream : 0);
export const got_bytes = (pull) => Math.min(pull.size_bytes || Infinity, sum(pull.bytes));

export class Progress {
  constructor() { this.seen = new Map(); }

  /** `now_ms`: of the daemon's clock. Pulls that are not in `running` are forgotten. */
  take(running, now_ms) {
    const kept = new Map();
    for (const pull of running) {
      const got = sum(pull.bytes) + pull.done_stripes;
      const known = this.seen.get(pull.id) || {points: [], moved_ms: Date.parse(pull.started), got: null};
      // Seen for the first time in the middle: when it last moved is not known, so it moved now.
      if (known.got === null ? got > 0 : got !== known.got) known.moved_ms = now_ms;
      known.got = got;
      known.points.push({ms: now_ms, bytes: sum(pull.bytes)});
      while (known.points.length > 2 && known.points[0].ms < now_ms - kRateSeconds * 1000) known.points.shift();
      kept.set(pull.id, known);
    }
    this.seen = kept;
  }

  /** Events say when something last arrived before this page was opened; that is asked once. */
  take_events(pull, events) {
    const known = this.seen.get(pull.id);
    if (!known || !events || !events.length || known.told) return;
    known.told = true;
    const last_ms = Date.parse(pull.started) + Math.max(...events.map((event) => event.at_ms));
    if (last_ms < known.moved_ms) known.moved_ms = last_ms;
  }

  rate(pull) {
    const points = this.seen.get(pull.id)?.points;
    if (!points || points.length < 2) return null;
    const [first, last] = [points[0], points.at(-1)];
    return last.ms > first.ms ? Math.max(0, (last.bytes - first.bytes) / (last.ms - first.ms)) * 1000 : null;
  }

  still_seconds(pull, now_ms) {
    const known = this.seen.get(pull.id);
    return known ? Math.max(0, (now_ms - known.moved_ms) / 1000) : 0;
  }
}

/** Null, or in plain words why a running pull does not move. `world`: {status, peers}. */
export function why_still(pull, still_seconds, world) {
  if (still_seconds < kStillSeconds) return null;
  return `No progress for ${format.seconds(Math.floor(still_seconds))}: ${reason(pull, world)}`;
}

function reason(pull, {status, peers}) {
  if (pull.error) return pull.error;
  if (pull.readers === 0) return 'no client reads it any more; what has arrived is kept.';
  const registry = status?.registries?.find((one) => one.name === pull.registry);
  const usable = status?.peers ? status.peers.eligible : 0;
  const from_peers = usable > 0 ? ` ${format.many(usable, 'peer')} can be asked, and none has sent it.` : '';
  if (registry?.last_error)
    return `it waits for ${pull.registry}, whose last error was “${registry.last_error}”.${from_peers}`;
  if (status && !status.storage.writable) return 'the disk takes no writes.';
  const retries = pull.retries ? `, tried again ${pull.retries === 1 ? 'once' : `${pull.retries} times`}` : '';
  if (peers && peers.strategy !== 'single' && usable === 0 && status?.peers?.total > 0) {
    return `no peer can be used, and ${pull.registry || 'the upstream registry'} sends nothing${retries}.`;
  }
  return `${pull.registry || 'the upstream registry'} sends nothing${retries}.${from_peers}`;
}
