// The ring: who is in it, where, how well, and how much of the keys is whose. Up to so many peers have a line; of more
// there is a sum by location, the worst of them, and a filter.
import {by_id, el, set_attribute, set_text, show, sync} from './dom.js';
import {draw_donut} from './donut.js';
import * as format from './format.js';
import {mark, Table} from './table.js';

const kPeersShown = 50;
const kPlacesShown = 40;
/** A peer this many times slower than the middle one is worth a word. */
const kSlowFactor = 4;

const kStates = {
  eligible: ['ok', 'usable'],
  draining: ['warn', 'draining'],
  suspended: ['bad', 'suspended: sent wrong bytes'],
  revoked: ['bad', 'revoked'],
  silent: ['bad', 'silent'],
  circuit_open: ['bad', 'fails'],
  incompatible: ['bad', 'speaks no common version'],
};
const kRank = {
  bad: 0,
  warn: 1,
  ok: 2
};

const place_of = (peer, depth = Infinity) => (peer.location || []).slice(0, depth).join(' / ') || 'no location';

/** {level, word} of a peer. `middle`: the median goodput of the usable ones. */
function health(peer, middle) {
  const [level, word] = kStates[peer.state] || ['warn', peer.state.replaceAll('_', ' ')];
  if (peer.self) return {level: 'ok', word: 'this node'};
  if (level !== 'ok') return {level, word};
  if (peer.goodput_bytes_per_second > 0 && peer.goodput_bytes_per_second * kSlowFactor < middle)
    return {level: 'warn', word: 'slow'};
  if (!peer.vetted) return {level: 'ok', word: 'usable, on probation'};
  return {level: 'ok', word};
}

function median(values) {
  if (!values.length) return 0;
  const sorted = Float64Array.from(values).sort();
  return sorted[sorted.length >> 1];
}

const kPeerColumns = [
  {key: 'name', title: 'Peer', value: (p) => p.name, cell: (cell, p) => name_cell(cell, p)},
  {
    key: 'state',
    title: 'State',
    value: (p) => kRank[p.health.level] * 1e6 + (p.self ? 1e5 : 0) + (p.speed ? 1e4 : 0),
    cell: (cell, p) => mark(cell, p.health.level, p.health.word)
  },
  {key: 'place', title: 'Location', value: (p) => p.place, text: (p) => p.place},
  {
    key: 'latency',
    title: 'Latency',
    number: true,
    value: (p) => p.latency_ms,
    text: (p) => (p.self ? '–' : format.milliseconds(p.latency_ms))
  },
  {
    key: 'speed',
    title: 'Goodput',
    number: true,
    value: (p) => p.speed,
    text: (p) => (p.speed ? format.rate(p.speed) : '–')
  },
  {
    key: 'load',
    title: 'Load',
    number: true,
    value: (p) => (p.load ? (p.load.used + p.load.waiting) / p.load.slots : -1),
    text: (p) => load_text(p.load)
  },
  {
    key: 'share',
    title: 'Ring share',
    number: true,
    value: (p) => p.ring_share,
    text: (p) => format.percent(p.ring_share)
  },
];

function name_cell(cell, peer) {
  set_text(cell, peer.name || (peer.addresses || [])[0] || '?');
  set_attribute(cell, 'title', (peer.addresses || []).join(', ') || null);
}

export class RingView {
  constructor(redraw) {
    this.filter = by_id('peers-filter');
    this.filter.addEventListener('input', redraw);
    this.places = new Table(
        by_id('places'), this.place_columns(redraw), (place) => place.name, {key: 'bad', down: true}, kPlacesShown);
    this.peers = new Table(
        by_id('peers'), kPeerColumns, (peer) => `${peer.name} ${(peer.addresses || [])[0]}`,
        {key: 'state', down: false}, kPeersShown);
  }

  place_columns(redraw) {
    const choose = (name) => {
      this.filter.value = this.filter.value === name ? '' : name;
      redraw();
    };
    return [
      {
        key: 'place',
        title: 'Location',
        value: (p) => p.name,
        cell: (cell, p) => {
          if (!cell.firstElementChild)
            cell.append(el('button', {type: 'button', class: 'link', on: {click: () => choose(cell.textContent)}}));
          set_text(cell.firstElementChild, p.name);
          set_attribute(cell.firstElementChild, 'title', 'Show the peers of this location');
        }
      },
      {key: 'count', title: 'Peers', number: true, value: (p) => p.count, text: (p) => format.count(p.count)},
      {
        key: 'bad',
        title: 'Not usable',
        number: true,
        value: (p) => p.bad,
        cell: (cell, p) => mark(cell, p.bad ? 'bad' : 'none', format.count(p.bad))
      },
      {
        key: 'speed',
        title: 'Goodput, median',
        number: true,
        value: (p) => p.speed,
        text: (p) => (p.speed ? format.rate(p.speed) : '–')
      },
      {key: 'share', title: 'Ring share', number: true, value: (p) => p.share, text: (p) => format.percent(p.share)},
    ];
  }

  draw(answer) {
    const alone = answer.strategy === 'single' || answer.peers.length === 0;
    show(by_id('ring-body'), !alone);
    show(by_id('peers-scroll'), !alone);
    show(by_id('ring-tools'), !alone);
    show(by_id('ring-none'), alone);
    set_text(
        by_id('ring-none'),
        'This node works alone: no peers are configured. Every byte that is not on its disk comes from upstream.');
    if (alone) {
      set_text(by_id('ring-count'), '');
      show(by_id('peers-more'), false);
      return;
    }
    const peers = judged(answer.peers);
    set_text(
        by_id('ring-count'),
        `${format.many(peers.length, 'member')} · ${answer.strategy} · ${
            format.many(answer.replicas, 'replica')} · membership ${answer.membership}`);
    this.draw_places(peers);
    this.draw_peers(peers);
    draw_donut(by_id('donut'), by_id('ring-key'), peers);
  }

  draw_places(peers) {
    const places = by_place(peers);
    show(by_id('places-scroll'), places.length > 1);
    say_hidden(by_id('places-more'), this.places.update(places), 'location');
  }

  draw_peers(peers) {
    const filter = this.filter.value.trim().toLowerCase();
    const chosen = filter ? peers.filter((peer) => words_of(peer).includes(filter)) : peers;
    const hidden = this.peers.update(chosen);
    const line = by_id('peers-more');
    if (filter && chosen.length === 0) {
      set_text(line, `None of ${format.many(peers.length, 'member')} matches the filter.`);
      show(line, true);
    } else {
      say_hidden(line, hidden, 'member');
    }
  }
}

function say_hidden(line, hidden, what) {
  set_text(line, hidden ? `${format.many(hidden, `more ${what}`)} not shown: sort by another column, or filter.` : '');
  show(line, hidden > 0);
}

/** Upload slots in use, and who waits for one. */
function load_text(load) {
  if (!load) return '–';
  return `${load.used} of ${load.slots}${load.waiting ? `, ${load.waiting} waiting` : ''}`;
}

function judged(list) {
  const speeds = list.filter((peer) => peer.state === 'eligible' && peer.goodput_bytes_per_second > 0)
                     .map((peer) => peer.goodput_bytes_per_second);
  const middle = median(speeds);
  return list.map((peer) => {
    const place = place_of(peer);
    const state = health(peer, middle);
    return Object.assign(peer, {place, health: state, speed: peer.goodput_bytes_per_second || 0});
  });
}

/** What the filter looks in. */
function words_of(peer) {
  return `${peer.name} ${peer.place} ${peer.health.word} ${peer.state} ${(peer.addresses || []).join(' ')}`
      .toLowerCase();
}

/** Sums by location, at the finest level that has few enough of them; each peer learns its `wide_place` there. */
function by_place(peers) {
  const deepest = peers.reduce((most, peer) => Math.max(most, (peer.location || []).length), 1);
  for (let depth = deepest;; --depth) {
    const groups = new Map();
    for (const peer of peers) {
      const name = place_of(peer, depth);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(peer);
      peer.wide_place = name;
    }
    if (groups.size <= kPlacesShown || depth === 1) return [...groups].map(sum_of_place);
  }
}

function sum_of_place([name, peers]) {
  return {
    name,
    count: peers.length,
    bad: peers.filter((peer) => peer.health.level === 'bad').length,
    share: peers.reduce((sum, peer) => sum + (peer.ring_share || 0), 0),
    speed: median(peers.filter((peer) => peer.speed > 0).map((peer) => peer.speed))
  };
}
