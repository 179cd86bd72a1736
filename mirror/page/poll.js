// Asks the daemon again and again: often while somebody looks, seldom while the page is hidden, and ever more seldom
// while nobody answers. One question of a kind is under way at a time, so a slow daemon is not buried in them.

const kTimeoutMs = 5000;
const kHiddenMs = 20000;
const kFirstRetryMs = 1000;
const kLastRetryMs = 5000;
/** Large answers are asked for less often: this many bytes a second are read of one kind. */
const kReadBytesPerSecond = 400000;

/** The JSON at `path`; throws an Error in plain words, whose `answered` says whether anybody was there. */
export async function ask(path) {
  const giving_up = new AbortController();
  const timer = setTimeout(() => giving_up.abort(), kTimeoutMs);
  try {
    const answer = await fetch(path, {cache: 'no-store', signal: giving_up.signal, credentials: 'same-origin'});
    const text = await answer.text();
    let data = null;
    try {
      data = JSON.parse(text);
    } catch {
      // Told below.
    }
    if (!answer.ok || data === null) {
      const error = new Error((data && data.error) || `the daemon answered ${path} with status ${answer.status}`);
      // A proxy before it speaks for a daemon that is away.
      error.answered = answer.status !== 502 && answer.status !== 504;
      throw error;
    }
    return {data, size: text.length};
  } finally {
    clearTimeout(timer);
  }
}

/** Whether the daemon answers, and since when it does not. `on_change` is called when that changes. */
export class Line {
  constructor(on_change) {
    this.on_change = on_change;
    this.answers = null;
    this.silent_since_ms = null;
    this.retry_ms = kFirstRetryMs;
  }

  heard() {
    this.retry_ms = kFirstRetryMs;
    if (this.answers === true) return;
    this.answers = true;
    this.silent_since_ms = null;
    this.on_change();
  }

  missed() {
    this.retry_ms = Math.min(kLastRetryMs, this.retry_ms * 1.6);
    if (this.answers === false) return;
    this.answers = false;
    this.silent_since_ms = Date.now();
    this.on_change();
  }
}

/**
 * One kind of question. The first poller of a line, `leads`, finds out whether the daemon is back; the others wait for
 * it.
 */
export class Poller {
  constructor(line, path, every_ms, take, leads = false) {
    Object.assign(this, {line, path, every_ms, take, leads});
    this.timer = null;
    this.asking = false;
    this.size = 0;
  }

  now() {
    clearTimeout(this.timer);
    if (!this.asking) this.run();
  }

  async run() {
    this.asking = true;
    const data = this.leads || this.line.answers !== false ? await this.question() : null;
    this.asking = false;
    this.timer = setTimeout(() => this.run(), this.pause_ms());
    if (data) this.take(data);
  }

  /** The answer; null when there is none. */
  async question() {
    try {
      const {data, size} = await ask(this.path);
      this.size = size;
      this.line.heard();
      return data;
    } catch (error) {
      if (error.answered) {
        this.line.heard();
      } else if (this.leads) {
        this.line.missed();
      }
      return null;
    }
  }

  pause_ms() {
    if (this.line.answers === false) return this.leads ? this.line.retry_ms : kFirstRetryMs;
    const every = Math.max(this.every_ms, (this.size / kReadBytesPerSecond) * 1000);
    return document.hidden ? Math.max(every, kHiddenMs) : every;
  }
}
