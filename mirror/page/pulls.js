// Pulls: those in progress with their stripes, and those that ended.
import {by_id, el, set_attribute, set_class, set_text, show, sync} from './dom.js';
import * as format from './format.js';
import {kSources} from './palette.js';
import {got_bytes} from './progress.js';
import {describe_stripes, draw_sample, draw_stripes, kStripeKinds} from './stripes.js';
import {kSigns, mark} from './table.js';
import {name_of} from './verdict.js';

/** Stripes of so many running pulls are asked for each second; of so many ended ones a line is shown. */
const kRunningShown = 12;
const kRecentShown = 20;
const kPeersShown = 8;
const kEventsShown = 10;

const kStates = {
  running: ['run', 'in progress'],
  verified: ['ok', 'verified'],
  failed: ['bad', 'failed'],
  left: ['idle', 'left by its reader'],
};

/**
 * Draws all pulls. `view`: {now_ms, progress, details: Map id → answer of /pulls/ID, still: Map id → why, want: id →
 * void}.
 */
export function draw_pulls({running, recent}, view) {
  const filter = by_id('pulls-filter').value.trim().toLowerCase();
  const matches = (pull) =>
      !filter || `${pull.repository} ${pull.registry} ${pull.digest} ${pull.state}`.toLowerCase().includes(filter);
  const chosen = in_order(running.filter(matches), by_id('pulls-order').value, view);
  const ended = recent.filter(matches);
  sync(
      by_id('pulls-running'), chosen.slice(0, kRunningShown), (pull) => pull.id, create_running,
      (item, pull) => fill_running(item, pull, view));
  sync(
      by_id('pulls-recent'), ended.slice(0, kRecentShown), (pull) => pull.id, (pull) => create_recent(pull, view),
      (item, pull) => fill_recent(item, pull, view));
  set_text(by_id('pulls-count'), running.length ? `${format.count(running.length)} in progress` : '');
  more(by_id('pulls-more'), running.length, chosen.length, kRunningShown, 'in progress', 'No pull is in progress.');
  more(by_id('recent-more'), recent.length, ended.length, kRecentShown, 'ended', 'None yet since the daemon started.');
  return chosen.slice(0, kRunningShown);
}

function more(line, all, chosen, shown, what, nothing) {
  const text = all === 0 ? nothing :
      chosen === 0       ? `None of ${format.count(all)} matches the filter.` :
            chosen > shown ? `${format.count(chosen - shown)} more ${what}; filter to see them.` :
                             '';
  set_text(line, text);
  show(line, text !== '');
}

function in_order(pulls, order, {now_ms, progress, still}) {
  const keys = {
    attention: (pull) => (still.has(pull.id) ? -1e15 : 0) - Date.parse(pull.started),
    newest: (pull) => -Date.parse(pull.started),
    size: (pull) => -(pull.size_bytes || 0),
    slow: (pull) => progress.rate(pull) ?? now_ms,
  };
  const key = keys[order];
  return [...pulls].sort((a, b) => key(a) - key(b));
}

// ---- in progress

function create_running() {
  const item =
      el('li', {class: 'pull'}, el('div', {class: 'line'}, el('h3'), el('code'), el('span', {class: 'numbers'})),
         el('p', {class: 'still', hidden: true}, el('span', {class: 'sign bad', 'aria-hidden': 'true'}, kSigns.bad),
            el('span')),
         bar(true), el('canvas', {class: 'stripes', role: 'img'}), el('p', {class: 'sources'}),
         el('details', {}, el('summary', {}, 'Peers and last stripes'), el('div', {class: 'more-body'})));
  return item;
}

function fill_running(item, pull, view) {
  const [line, still, progress, canvas, sources, details] = item.children;
  const why = view.still.get(pull.id);
  set_class(item, why ? 'pull stuck' : 'pull');
  set_text(line.children[0], name_of(pull));
  fill_digest(line.children[1], pull);
  set_text(line.children[2], numbers(pull, view));
  show(still, Boolean(why));
  set_text(still.children[1], why || '');
  fill_bar(progress, pull, `Progress of ${name_of(pull)}`);
  const detail = view.details.get(pull.id);
  fill_stripes(canvas, detail);
  set_text(sources, facts(pull));
  fill_details(details, pull, detail);
}

function numbers(pull, {progress}) {
  const got = got_bytes(pull);
  const speed = progress.rate(pull);
  const left =
      speed > 0 && pull.size_bytes ? ` · ${format.seconds(Math.max(1, (pull.size_bytes - got) / speed))} left` : '';
  return `${format.bytes(got)} of ${format.bytes(pull.size_bytes)} · ${format.percent(got / pull.size_bytes)} · ${
      format.rate(speed)}${left}`;
}

function facts(pull) {
  const parts = kSources.filter((source) => pull.bytes[source.key])
                    .map((source) => `${format.bytes(pull.bytes[source.key])} ${source.long}`);
  if (!parts.length) parts.push('nothing has arrived yet');
  if (pull.state === 'running') parts.push(format.many(pull.readers, 'reader'));
  if (pull.retries) parts.push(pull.retries === 1 ? '1 retry' : `${format.count(pull.retries)} retries`);
  if (pull.hedges) parts.push(format.many(pull.hedges, 'hedge'));
  if (pull.replaced) parts.push(`${format.many(pull.replaced, 'wrong stripe')} replaced`);
  if (pull.kept === false) parts.push('nothing of it is kept on disk');
  return parts.join(' · ');
}

function fill_digest(code, pull) {
  set_text(code, format.short_digest(pull.digest));
  set_attribute(code, 'title', pull.digest);
}

function fill_stripes(canvas, detail) {
  const map = detail?.map;
  show(canvas, Boolean(map));
  if (!map) return;
  set_attribute(canvas, 'aria-label', describe_stripes(map, detail.map_stripes));
  if (canvas.drawn === map && canvas.drawn_width === canvas.clientWidth) return;
  draw_stripes(canvas, map);
  canvas.drawn = map;
  canvas.drawn_width = canvas.clientWidth;
}

/** One bar in three parts: the sources in their order. */
function bar(told) {
  return el(
      'div', {
        class: 'bar',
        ...(told ? {role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100'} : {'aria-hidden': 'true'})
      },
      ...kSources.map((source) => el('span', {class: source.key})));
}

function fill_bar(node, pull, label) {
  const total = Math.max(pull.size_bytes || 0, kSources.reduce((sum, source) => sum + pull.bytes[source.key], 0), 1);
  kSources.forEach((source, index) => {
    const width = `${((pull.bytes[source.key] / total) * 100).toFixed(2)}%`;
    if (node.children[index].style.width !== width) node.children[index].style.width = width;
  });
  if (label) {
    set_attribute(node, 'aria-label', label);
    set_attribute(node, 'aria-valuenow', Math.floor((got_bytes(pull) / total) * 100));
  }
}

// ---- what an opened pull tells

function fill_details(details, pull, detail) {
  if (!details.open || !detail) return;
  const body = details.lastElementChild;
  if (!body.firstElementChild) {
    body.append(
        el('table', {class: 'small'}, el('caption', {}, 'From which peer'), el('tbody')), el('p', {class: 'more'}),
        el('table', {class: 'small'}, el('caption', {}, 'Last stripes'),
           el('thead', {},
              el('tr', {},
                 ...['Stripe', 'After', 'Took', 'Source', 'Checked', ''].map(
                     (title) => el('th', {scope: 'col'}, title)))),
           el('tbody')));
  }
  const [peers, more_line, events] = body.children;
  const by_bytes = Object.entries(detail.peers || {}).sort((a, b) => b[1] - a[1]);
  show(peers, by_bytes.length > 0);
  sync(
      peers.tBodies[0], by_bytes.slice(0, kPeersShown), ([name]) => name,
      () => el('tr', {}, el('th', {scope: 'row'}), el('td', {class: 'n'})), (row, [name, bytes]) => {
        set_text(row.children[0], name);
        set_text(row.children[1], format.bytes(bytes));
      });
  set_text(
      more_line,
      by_bytes.length > kPeersShown ? `and ${format.many(by_bytes.length - kPeersShown, 'more peer')}` :
          by_bytes.length ? '' :
                            'No bytes came from peers.');
  show(more_line, more_line.textContent !== '');
  const last = (detail.events || []).slice().sort((a, b) => b.at_ms - a.at_ms).slice(0, kEventsShown);
  show(events, last.length > 0);
  sync(
      events.tBodies[0], last, (event) => `${event.stripe} ${event.at_ms}`,
      () => el('tr', {}, ...Array.from({length: 6}, () => el('td'))), fill_event);
}

const kChecks = {
  none: 'not yet',
  checksum: 'checksum',
  link: 'hash of the stripe',
  whole: 'hash of the blob'
};

function fill_event(row, event) {
  const notes =
      [event.retries ? `${event.retries} retried` : '', event.hedged ? 'hedged' : ''].filter(Boolean).join(', ');
  const texts = [
    format.count(event.stripe), format.seconds(event.at_ms / 1000), format.milliseconds(event.took_ms),
    event.peer || event.source, kChecks[event.verified] || event.verified || '', notes
  ];
  texts.forEach((text, index) => set_text(row.children[index], text));
}

// ---- ended

function create_recent(pull, view) {
  const canvas = el('canvas', {class: 'stripes', role: 'img', hidden: true});
  const details =
      el('details', {
        on: {
          toggle: () => {
            if (details.open) view.want(pull.id);
          }
        }
      },
         el('summary', {}, el('span', {class: 'state'}), el('span', {class: 'name'}), el('span', {class: 'numbers'}),
            bar(false)),
         el('p', {class: 'sources'}), canvas, el('div', {class: 'more-body'}));
  return el('li', {}, details);
}

function fill_recent(item, pull, view) {
  const details = item.firstElementChild;
  const [summary, sources, canvas, body] = details.children;
  const [state, name, line, strip] = summary.children;
  mark(state, ...(kStates[pull.state] || ['idle', pull.state]));
  set_text(name, name_of(pull));
  const took = (Date.parse(pull.ended) - Date.parse(pull.started)) / 1000;
  set_text(
      line,
      pull.state === 'failed' ?
          pull.error || 'no reason was told' :
          `${format.bytes(got_bytes(pull))}${took >= 0.001 ? ` in ${format.seconds(took)}` : ''} · ${
              format.ago(pull.ended, view.now_ms)}`);
  set_class(line, pull.state === 'failed' ? 'numbers bad' : 'numbers');
  fill_bar(strip, pull, null);
  if (!details.open) return;
  set_text(sources, `${facts(pull)} · ${pull.digest}`);
  const detail = view.details.get(pull.id);
  fill_stripes(canvas, detail);
  if (detail) fill_details({open: true, lastElementChild: body}, pull, detail);
}

/** The key of the squares, once. */
export function draw_key() {
  sync(
      by_id('stripe-key'), kStripeKinds, (kind) => kind.key,
      (kind) => el('li', {}, el('canvas', {class: 'sample', 'aria-hidden': 'true'}), kind.name), () => {});
  for (const [index, item] of [...by_id('stripe-key').children].entries())
    draw_sample(item.firstElementChild, kStripeKinds[index].key);
}
