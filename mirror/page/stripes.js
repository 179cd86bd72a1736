// One blob as a band of small squares, one a stripe: where each came from. A canvas, because a blob may have 65,536 of
// them; the same is told in words as sums by source.
import {pen} from './dom.js';
import * as format from './format.js';
import {fill_of, palette} from './palette.js';

const kLargest = 14, kSmallest = 3;
const kMaxHeight = 112;

/** What the characters of a pull's map mean, in the order in which they are told. */
export const kStripeKinds = [
  {mark: 'd', key: 'storage', name: 'this disk'},
  {mark: 'p', key: 'peer', name: 'peer'},
  {mark: 'u', key: 'upstream', name: 'upstream'},
  {mark: '~', key: 'arriving', name: 'arriving'},
  {mark: 'x', key: 'replaced', name: 'being replaced'},
  {mark: '.', key: 'missing', name: 'missing'},
];
const kKind = new Map(kStripeKinds.map((kind, index) => [kind.mark, index]));
const kMissing = kKind.get('.');

export function count_stripes(map) {
  const counts = new Array(kStripeKinds.length).fill(0);
  for (let i = 0; i < map.length; ++i) counts[kKind.get(map[i]) ?? kMissing] += 1;
  return counts;
}

/** "24 stripes: 12 this disk, 8 peer, 4 missing". `each`: how many stripes a character stands for. */
export function describe_stripes(map, each = 1) {
  const parts = count_stripes(map)
                    .map((value, index) => (value ? `${format.count(value)} ${kStripeKinds[index].name}` : null))
                    .filter(Boolean);
  return `${
      format.many(
          map.length, each > 1 ? `group of ${each} stripes` : 'stripe',
          each > 1 ? `groups of ${each} stripes` : 'stripes')}: ${parts.join(', ')}`;
}

/** The side of a square, and how many stripes one of them stands for so that the band stays low. */
function layout(stripes, width) {
  for (let side = kLargest; side >= kSmallest; --side) {
    const columns = Math.floor(width / side);
    if (Math.ceil(stripes / columns) * side <= kMaxHeight) return {side, columns, each: 1};
  }
  const columns = Math.floor(width / kSmallest);
  const rows = Math.floor(kMaxHeight / kSmallest);
  return {side: kSmallest, columns, each: Math.ceil(stripes / (columns * rows))};
}

export function draw_stripes(canvas, map) {
  if (!map.length || canvas.clientWidth < 8) return;
  const {side, columns, each} = layout(map.length, Math.floor(canvas.clientWidth));
  const cells = Math.ceil(map.length / each);
  const at = pen(canvas, Math.ceil(cells / columns) * side);
  if (!at) return;
  const by_kind = kStripeKinds.map(() => []);
  for (let cell = 0; cell < cells; ++cell) by_kind[kind_of(map, cell * each, each)].push(cell);
  const gap = side >= 6 ? 2 : side >= 4 ? 1 : 0.5;
  by_kind.forEach((list, index) => {
    if (list.length) draw_cells(at.context, list, kStripeKinds[index].key, side, gap, columns);
  });
}

/** Several stripes in one square: what is wrong shows first, then what arrives, else what most of them are. */
function kind_of(map, first, each) {
  if (each === 1) return kKind.get(map[first]) ?? kMissing;
  const part = map.slice(first, first + each);
  if (part.includes('x')) return kKind.get('x');
  if (part.includes('~')) return kKind.get('~');
  const counts = count_stripes(part);
  return counts.indexOf(Math.max(...counts));
}

function draw_cells(context, cells, key, side, gap, columns) {
  const colours = palette();
  const size = side - gap;
  context.beginPath();
  for (const cell of cells) {
    context.rect((cell % columns) * side, Math.floor(cell / columns) * side, size, size);
  }
  if (key === 'missing') {
    context.fillStyle = colours.faint;
    context.fill();
  } else if (key === 'arriving') {
    context.fillStyle = colours.faint;
    context.fill();
    draw_halves(context, cells, side, size, columns, colours.text);
  } else if (key === 'replaced') {
    context.fillStyle = colours.bad;
    context.fill();
    if (size >= 6) draw_crosses(context, cells, side, size, columns, colours.card);
  } else {
    context.fillStyle = size >= 5 ? fill_of(context, key) : colours[key];
    context.fill();
  }
}

/** An arriving stripe fills from below: the lower half is dark. */
function draw_halves(context, cells, side, size, columns, colour) {
  context.fillStyle = colour;
  for (const cell of cells) {
    const [x, y] = [(cell % columns) * side, Math.floor(cell / columns) * side];
    context.fillRect(x, y + size / 2, size, size / 2);
  }
}

function draw_crosses(context, cells, side, size, columns, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.beginPath();
  for (const cell of cells) {
    const [x, y] = [(cell % columns) * side, Math.floor(cell / columns) * side];
    context.moveTo(x + 2, y + 2);
    context.lineTo(x + size - 2, y + size - 2);
    context.moveTo(x + size - 2, y + 2);
    context.lineTo(x + 2, y + size - 2);
  }
  context.stroke();
}

/** One square alone, for the key. */
export function draw_sample(canvas, key) {
  const at = pen(canvas, kLargest - 2);
  if (at) draw_cells(at.context, [0], key, kLargest, 2, 1);
}
