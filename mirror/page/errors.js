// The last warnings and errors, as the daemon logged them.
import {by_id, el, set_attribute, set_text, show, sync} from './dom.js';
import * as format from './format.js';
import {mark} from './table.js';

const kShown = 30;

export function draw_errors({errors}, now_ms) {
  const list = errors.slice(0, kShown);
  sync(
      by_id('errors-list'), list, (one) => `${one.at} ${one.level} ${one.message} ${JSON.stringify(one.fields)}`,
      create, (item, one) => fill(item, one, now_ms));
  show(by_id('errors-none'), list.length === 0);
  const hard = errors.filter((one) => one.level === 'error').length;
  set_text(
      by_id('errors-count'),
      errors.length ? `${format.many(hard, 'error')}, ${format.many(errors.length - hard, 'warning')}` : '');
  const badge = by_id('errors-badge');
  show(badge, hard > 0);
  set_text(badge, hard > 0 ? ` ${hard}` : '');
}

function create() {
  return el(
      'li', {}, el('p', {class: 'message'}, el('span', {class: 'level'}), el('strong'), el('span', {class: 'times'})),
      el('p', {class: 'fields'}), el('p', {class: 'when'}, el('time')));
}

function fill(item, one, now_ms) {
  const [message, fields, when] = item.children;
  mark(message.children[0], one.level === 'error' ? 'bad' : 'warn', one.level === 'error' ? 'Error' : 'Warning');
  set_text(message.children[1], one.message);
  set_text(message.children[2], one.count > 1 ? `${format.count(one.count)} times` : '');
  set_text(
      fields,
      Object.entries(one.fields || {})
          .map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
          .join('  ·  '));
  show(fields, fields.textContent !== '');
  const time = when.firstElementChild;
  set_text(time, format.ago(one.last, now_ms));
  set_attribute(time, 'datetime', one.last);
  set_attribute(
      time, 'title',
      one.count > 1 ? `first ${format.clock(one.at)}, last ${format.clock(one.last)}` : format.clock(one.last));
}
