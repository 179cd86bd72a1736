// The ring as a circle: each member has an arc as long as its share of the keys, neighbours by location. Who is not
// usable sticks out, so that the form says it too. Where there are too many members for one arc each, a location has
// three: well, slow, not usable.
import {el, pen, set_attribute, set_text, sync} from './dom.js';
import * as format from './format.js';
import {palette} from './palette.js';

const kHeight = 230;
const kArcs = 400;
const kReach = {
  ok: 0,
  warn: 5,
  bad: 11
};
const kLevels = [['ok', 'well'], ['warn', 'slow or draining'], ['bad', 'not usable']];

export function draw_donut(canvas, key, peers) {
  const counts =
      Object.fromEntries(kLevels.map(([level]) => [level, peers.filter((peer) => peer.health.level === level).length]));
  const words = kLevels.filter(([level]) => counts[level])
                    .map(([level, word]) => `${format.count(counts[level])} ${word}`)
                    .join(', ');
  set_attribute(
      canvas, 'aria-label',
      `The ring of ${format.many(peers.length, 'member')}: ${words}. The table of peers has each of them.`);
  sync(
      key, kLevels, ([level]) => level,
      ([level]) => el('li', {}, el('span', {class: `dot ${level}`, 'aria-hidden': 'true'}), el('span')),
      (item, [level, word]) => set_text(item.lastElementChild, `${format.count(counts[level])} ${word}`));
  const at = pen(canvas, kHeight);
  if (!at) return;
  const arcs = arcs_of(peers);
  const total = arcs.reduce((sum, arc) => sum + arc.share, 0) || 1;
  const places = new Set(arcs.map((arc) => arc.place)).size;
  const gap = places > 1 ? Math.min(0.03, 0.6 / places) : 0;
  paint(
      {...at, x: at.width / 2, y: at.height / 2, outer: kHeight / 2 - 16, inner: kHeight / 2 - 38}, arcs, total, gap,
      places > 1 ? places : 0);
  middle(at, peers.filter((peer) => peer.state === 'eligible').length, peers.length);
}

function arcs_of(peers) {
  const share = (peer) => Math.max(peer.ring_share || 0, 1e-9);
  const by_place = (a, b) => (a.place < b.place ? -1 : a.place > b.place ? 1 : 0);
  if (peers.length <= kArcs) {
    return peers
        .map(
            (peer) =>
                ({place: peer.place, level: peer.health.level, share: share(peer), self: peer.self, name: peer.name}))
        .sort((a, b) => by_place(a, b) || (a.name < b.name ? -1 : 1));
  }
  const arcs = new Map();
  for (const peer of peers) {
    const place = peer.wide_place;
    if (!arcs.has(place)) arcs.set(place, kLevels.map(([level]) => ({place, level, share: 0, self: false})));
    const arc = arcs.get(place).find((one) => one.level === peer.health.level);
    arc.share += share(peer);
    arc.self ||= peer.self;
  }
  return [...arcs.values()].flat().filter((arc) => arc.share > 0).sort(by_place);
}

function paint(frame, arcs, total, gap, gaps) {
  const {context, x, y, inner, outer} = frame;
  const colours = palette();
  const turn = (2 * Math.PI - gap * gaps) / total;
  const between = arcs.length > 1 && arcs.length <= 120 ? Math.min(0.012, 1 / arcs.length / 4) : 0;
  let angle = -Math.PI / 2;
  let place = arcs[0]?.place;
  for (const arc of arcs) {
    if (arc.place !== place) angle += gap;
    place = arc.place;
    const end = angle + arc.share * turn;
    context.beginPath();
    context.arc(x, y, outer + kReach[arc.level], angle, Math.max(angle + 0.002, end - between));
    context.arc(x, y, inner, Math.max(angle + 0.002, end - between), angle, true);
    context.closePath();
    context.fillStyle = colours[arc.level];
    context.fill();
    if (arc.self) point_at(frame, (angle + end) / 2, colours.text);
    angle = end;
  }
}

/** A small triangle inside the circle: here is this node. */
function point_at({context, x, y, inner}, angle, colour) {
  context.save();
  context.translate(x, y);
  context.rotate(angle);
  context.beginPath();
  context.moveTo(inner - 2, 0);
  context.lineTo(inner - 13, -6);
  context.lineTo(inner - 13, 6);
  context.closePath();
  context.fillStyle = colour;
  context.fill();
  context.restore();
}

function middle({context, width, height}, usable, total) {
  const colours = palette();
  context.textAlign = 'center';
  context.fillStyle = colours.text;
  context.font = '600 26px system-ui, sans-serif';
  context.fillText(format.count(usable), width / 2, height / 2 + 2);
  context.fillStyle = colours.muted;
  context.font = '12px system-ui, sans-serif';
  context.fillText(usable === total ? 'all usable' : `of ${format.count(total)} usable`, width / 2, height / 2 + 20);
  context.fillText('▸ this node', width / 2, height / 2 + 38);
}
