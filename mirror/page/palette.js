// The colours of canvases, from the style sheet, so that light and dark stand in one place.

const kNames = ['storage', 'peer', 'upstream', 'ok', 'warn', 'bad', 'text', 'muted', 'line', 'faint', 'card'];
let known = null;

export function palette() {
  if (known) return known;
  const style = getComputedStyle(document.documentElement);
  known = Object.fromEntries(kNames.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return known;
}

/** Calls `redraw` when the reader's system changes between light and dark. */
export function on_scheme_change(redraw) {
  for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
    matchMedia(query).addEventListener('change', () => {
      known = null;
      redraw();
    });
  }
}

/** The three sources, always in this order. */
export const kSources = [
  {key: 'storage', name: 'this disk', long: 'from this node\'s disk'},
  {key: 'peer', name: 'peers', long: 'from peers'},
  {key: 'upstream', name: 'upstream', long: 'from the upstream registry'},
];

const patterns = new Map();

/**
 * What marks a source beside its colour: upstream, which costs, is hatched; peers are lighter (in the dark: darker)
 * than the disk.
 */
export function fill_of(context, key) {
  const colours = palette();
  const name = `${key} ${colours[key]} ${colours.card}`;
  if (!patterns.has(name)) patterns.set(name, make_pattern(context, key, colours));
  return patterns.get(name);
}

function make_pattern(context, key, colours) {
  if (key !== 'upstream') return colours[key];
  const tile = document.createElement('canvas');
  tile.width = tile.height = 6;
  const paint = tile.getContext('2d');
  paint.fillStyle = colours[key];
  paint.fillRect(0, 0, 6, 6);
  paint.strokeStyle = colours.card;
  paint.globalAlpha = 0.5;
  paint.beginPath();
  for (const at of [-6, 0, 6]) {
    paint.moveTo(at, 6);
    paint.lineTo(at + 6, 0);
  }
  paint.stroke();
  return context.createPattern(tile, 'repeat');
}
