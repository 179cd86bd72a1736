// Numbers in words: the same everywhere on the page.

const kUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Three digits at most: 512 B, 1.5 MiB, 23.4 GiB. */
export function bytes(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  let at = 0;
  let size = Math.max(0, value);
  while (size >= 1000 && at + 1 < kUnits.length) {
    size /= 1024;
    at += 1;
  }
  const digits = at === 0 || size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return `${trimmed(size.toFixed(digits))} ${kUnits[at]}`;
}

function trimmed(text) { return text.includes('.') ? text.replace(/\.?0+$/, '') : text; }

export function rate(bytes_per_second) {
  if (bytes_per_second === null || bytes_per_second === undefined) return '–';
  return bytes_per_second < 1 ? '0 B/s' : `${bytes(bytes_per_second)}/s`;
}

/** Of 0 … 1. Never says 0 % or 100 % of what is a little more or less. */
export function percent(fraction) {
  if (!Number.isFinite(fraction)) return '–';
  const value = fraction * 100;
  if (value === 0 || value === 100) return `${value} %`;
  if (value < 0.1) return '< 0.1 %';
  if (value < 10) return `${value.toFixed(1)} %`;
  return `${Math.min(99, Math.round(value))} %`;
}

export function count(value) { return value === null || value === undefined ? '–' : value.toLocaleString('en-US'); }

/** "1 peer", "3 peers". */
export function many(value, one, others = `${one}s`) { return `${count(value)} ${value === 1 ? one : others}`; }

export function seconds(value) {
  if (!Number.isFinite(value)) return '–';
  if (value < 1) return `${Math.max(0, Math.round(value * 1000))} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86400)} days`;
}

export function milliseconds(value) { return value ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : '–'; }

/** How long ago, as the daemon's clock sees it. */
export function ago(time, now_ms) {
  const past = (now_ms - Date.parse(time)) / 1000;
  return past < 2 ? 'now' : `${seconds(Math.round(past))} ago`;
}

export function clock(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? '–' : date.toISOString().replace('T', ' ').slice(0, 19) + ' UTC';
}

/** The first twelve characters of a digest, which is what people compare. */
export function short_digest(digest) {
  const colon = (digest || '').indexOf(':');
  return colon < 0 ? digest || '' : digest.slice(0, colon + 13);
}
