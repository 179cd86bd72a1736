// Joins the parts: asks the daemon, keeps what it last said, and draws. Each part draws from data alone.
import {CacheView, kBlobs} from './cache.js';
import {draw_chart} from './chart.js';
import {by_id, el, set_attribute, set_class, set_text, show, sync} from './dom.js';
import {draw_errors} from './errors.js';
import * as format from './format.js';
import {kSources, on_scheme_change} from './palette.js';
import {ask, Line, Poller} from './poll.js';
import {Progress, why_still} from './progress.js';
import {draw_key, draw_pulls} from './pulls.js';
import {Rates} from './rates.js';
import {RingView} from './ring.js';
import {kSigns} from './table.js';
import {findings_of, headline, sentence} from './verdict.js';

const kNetwork = [
  {key: 'upstream', counter: 'upstream_in', name: 'from upstream', dash: [6, 4]},
  {key: 'peer', counter: 'peer_in', name: 'from peers', dash: []},
  {key: 'storage', counter: 'peer_out', name: 'to peers', dash: [2, 3]},
];
const kServed = kSources.map((source) => ({...source, counter: source.key}));
/** The stripes of a running pull come at most this many bytes a second: a giant blob's map is large. */
const kDetailBytesPerSecond = 150000;
const kDetailsKept = 64;

let version = null;  // of the daemon that this page came from
const world = {
  status: null,
  peers: null,
  pulls: null,
  cache: null,
  errors: null,
  now_ms: Date.now(),
  still: []
};
const rates = new Rates();
const progress = new Progress();
const details = new Map();  // pull id → answer of /pulls/ID
const due_ms = new Map();   // pull id → when its stripes are asked for again
let skew_ms = 0;            // the daemon's clock minus ours

const line = new Line(draw_verdict);
const pollers = {
  status: new Poller(line, 'api/v1/status', 1000, take_status, true),
  pulls: new Poller(line, 'api/v1/pulls', 1000, take_pulls),
  peers: new Poller(line, 'api/v1/peers', 1000, take_peers),
  cache: new Poller(
      line, `api/v1/cache?limit=${kBlobs}`, 8000,
      (data) => {
        world.cache = data;
        draw_cache();
      }),
  errors: new Poller(
      line, 'api/v1/errors', 5000,
      (data) => {
        world.errors = data;
        draw_errors(data, now());
        draw_verdict();
      }),
};
const ring = new RingView(() => world.peers && ring.draw(world.peers));
const cache = new CacheView(draw_cache);

/**
 * The daemon's clock. It stands still while the daemon is silent: what was there is not blamed for what nobody can
 * see.
 */
const now = () => (line.answers === false ? world.now_ms : Date.now() + skew_ms);

function take_status(status) {
  const restarted = world.status && world.status.started !== status.started;
  world.status = status;
  // Uptimes are whole seconds, rounded down: the largest difference is the nearest, until a clock is set.
  const skew = Date.parse(status.started) + status.uptime_seconds * 1000 - Date.now();
  skew_ms = Math.abs(skew - skew_ms) > 3000 ? skew : Math.max(skew, skew_ms);
  rates.add(performance.now() / 1000, status.started, {
    storage: status.served.storage_bytes,
    peer: status.served.peer_bytes,
    upstream: status.served.upstream_bytes,
    upstream_in: status.transfers.upstream_in_bytes,
    peer_in: status.transfers.peer_in_bytes,
    peer_out: status.transfers.peer_out_bytes
  });
  version ??= status.version;
  world.outdated = version !== status.version;
  if (restarted) details.clear();
  draw_top();
  draw_bytes();
  draw_verdict();
}

function take_peers(data) {
  world.peers = data;
  ring.draw(data);
}

function take_pulls(data) {
  world.pulls = data;
  progress.take(data.running, now());
  const shown = draw_pull_list();
  draw_verdict();
  if (!document.hidden) ask_details(shown);
}

function draw_pull_list() {
  if (!world.pulls) return [];
  const why = new Map();
  for (const pull of world.pulls.running) {
    const text = why_still(pull, progress.still_seconds(pull, now()), world);
    if (text) why.set(pull.id, text);
  }
  world.still = world.pulls.running.filter((pull) => why.has(pull.id)).map((pull) => ({pull, why: why.get(pull.id)}));
  return draw_pulls(world.pulls, {now_ms: now(), progress, details, still: why, want: want_details});
}

/** The stripes of the pulls that are on the page. */
async function ask_details(shown) {
  const here = shown.filter((pull) => (due_ms.get(pull.id) || 0) <= Date.now());
  await Promise.all(here.map((pull) => want_details(pull.id)));
  const running = new Set(world.pulls.running.map((pull) => pull.id));
  for (const id of due_ms.keys()) {
    if (!running.has(id)) due_ms.delete(id);
  }
}

async function want_details(id) {
  due_ms.set(id, Infinity);
  try {
    const {data, size} = await ask(`api/v1/pulls/${encodeURIComponent(id)}?events=32`);
    details.delete(id);
    details.set(id, data);
    while (details.size > kDetailsKept) details.delete(details.keys().next().value);
    due_ms.set(id, Date.now() + Math.max(800, (size / kDetailBytesPerSecond) * 1000));
    progress.take_events(data, data.events);
    draw_pull_list();
    draw_verdict();
  } catch {
    // It has ended and been forgotten, or nobody answers: the list of pulls says so.
    due_ms.set(id, Date.now() + 3000);
  }
}

function draw_cache() {
  if (world.status) cache.draw(world.cache, world.status);
}

// ---- the top of the page

function draw_top() {
  const {status} = world;
  set_text(by_id('node'), status.node || '');
  set_text(by_id('facts'), [
    (status.location || []).join(' / '), `version ${status.version}`, `up ${format.seconds(status.uptime_seconds)}`
  ].filter(Boolean).join(' · '));
}

function draw_verdict() {
  if (line.answers === false) return draw_silence();
  if (!world.status) return;
  world.now_ms = now();
  const found = findings_of(world);
  const {level, text} = headline(found);
  say(level, text,
      sentence(world.status, Object.fromEntries(kSources.map(({key}) => [key, rates.now(key)])), world.pulls), found);
  document.title =
      `${level === 'ok' ? '' : `${kSigns[level]} `}${world.status.node || 'Oxbow'}: ${text.toLowerCase()} – Oxbow`;
}

function draw_silence() {
  const since = (Date.now() - line.silent_since_ms) / 1000;
  say('bad', 'The daemon does not answer',
      `Since ${format.seconds(Math.max(1, Math.floor(since)))}; trying again. ` +
          (world.status ? 'What stands below is from before.' : 'Is it running? systemctl status oxbow'),
      []);
  document.title = '✕ no answer – Oxbow';
}

function say(level, text, more, found) {
  set_class(by_id('verdict'), `verdict ${level}`);
  set_class(document.body, line.answers === false ? 'stale' : '');
  set_text(by_id('verdict-sign'), kSigns[level]);
  set_text(by_id('verdict-title'), text);
  set_text(by_id('verdict-more'), more);
  const list = by_id('findings');
  show(list, found.length > 0);
  sync(
      list, found, (one) => `${one.level} ${one.href} ${one.text.replace(/\d+ \w+/g, '')}`,
      () => el('li', {}, el('span', {'aria-hidden': 'true'}), el('a')), (item, one) => {
        set_class(item.children[0], `sign ${one.level}`);
        set_text(item.children[0], kSigns[one.level]);
        set_text(item.children[1], one.text);
        set_attribute(item.children[1], 'href', one.href);
      });
}

// ---- bytes

function draw_bytes() {
  const served = document.querySelector('input[name=kind]:checked').value === 'served';
  const series = served ? kServed : kNetwork;
  const at = performance.now() / 1000;
  draw_chart(by_id('chart'), rates.rows(series.map((part) => part.counter)), at, series, served);
  set_attribute(
      by_id('chart'), 'aria-label',
      served ? 'Throughput to clients by source, last five minutes; the table beside has the numbers' :
               'Throughput on the network, last five minutes; the table beside has the numbers');
  draw_legend(series, served);
  draw_tiles();
}

function draw_legend(series, served) {
  const last = rates.points.at(-1).counters;
  const total = series.reduce((sum, part) => sum + last[part.counter], 0);
  const rows = series.map(
      (part) =>
          ({...part, now: rates.now(part.counter), since: last[part.counter], share: last[part.counter] / total}));
  if (served) {
    rows.push({
      key: 'total',
      counter: 'total',
      name: 'together',
      since: total,
      share: null,
      now: rows.some((row) => row.now === null) ? null : rows.reduce((sum, row) => sum + row.now, 0)
    });
  }
  sync(
      by_id('legend').tBodies[0], rows, (row) => row.counter,
      (row) =>
          el('tr', {},
             el('th', {scope: 'row'},
                el('span', {class: `swatch ${row.key}${served ? '' : ' thin'}`, 'aria-hidden': 'true'}), el('span')),
             el('td', {class: 'n now'}), el('td', {class: 'n'}), el('td', {class: 'n'})),
      (line_of, row) => {
        set_text(line_of.children[0].lastElementChild, row.name);
        set_text(line_of.children[1], format.rate(row.now));
        set_text(line_of.children[2], format.bytes(row.since));
        set_text(line_of.children[3], row.share === null ? '' : format.percent(row.share));
      });
}

function draw_tiles() {
  const {status} = world;
  const {served, storage} = status;
  const total = served.storage_bytes + served.peer_bytes + served.upstream_bytes;
  const tiles = [
    [
      'Upstream bytes avoided', format.bytes(status.upstream_avoided_bytes),
      total ? `of ${format.bytes(total)} served since the start` : 'nothing served yet'
    ],
    [
      'Pulls in progress', format.count(status.pulls_running),
      status.ready ? 'takes new clients' : 'takes no new clients'
    ],
    [
      'Peers usable',
      status.peers ? `${format.count(status.peers.eligible)} of ${format.count(status.peers.total)}` : '–',
      status.peers ? other_states(status.peers) : 'works alone'
    ],
    [
      'In the cache', format.bytes(storage.stored_bytes),
      `${format.percent(storage.stored_bytes / Math.max(1, storage.budget_bytes))} of the budget`
    ],
    ['Memory', format.bytes(status.process?.rss_bytes), `${format.many(status.process?.open_files ?? 0, 'open file')}`],
  ];
  sync(
      by_id('tiles'), tiles, ([name]) => name,
      ([name]) => el('div', {}, el('dt', {}, name), el('dd'), el('dd', {class: 'small'})), (tile, [, value, note]) => {
        set_text(tile.children[1], value);
        set_text(tile.children[2], note);
      });
}

function other_states({by_state}) {
  const others = Object.entries(by_state || {}).filter(([state, n]) => n > 0 && state !== 'eligible');
  return others.length ? others.map(([state, n]) => `${n} ${state.replaceAll('_', ' ')}`).join(', ') : 'all of them';
}

// ---- beginning

function redraw() {
  draw_key();
  if (world.status) draw_bytes();
  for (const canvas of document.querySelectorAll('canvas.stripes')) canvas.drawn = null;
  draw_pull_list();
  if (world.peers) ring.draw(world.peers);
}

draw_key();
by_id('pulls-filter').addEventListener('input', draw_pull_list);
by_id('pulls-order').addEventListener('change', draw_pull_list);
by_id('chart-kind').addEventListener('change', () => world.status && draw_bytes());
new ResizeObserver(redraw).observe(by_id('main'));
on_scheme_change(redraw);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) Object.values(pollers).forEach((poller) => poller.now());
});
setInterval(() => line.answers === false && draw_silence(), 1000);
pollers.status.now();
for (const poller of [pollers.pulls, pollers.peers, pollers.cache, pollers.errors]) poller.now();
