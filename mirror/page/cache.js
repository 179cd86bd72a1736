// The cache by registry and by image, and how full the disk is.
import {by_id, el, set_attribute, set_class, set_text, show} from './dom.js';
import * as format from './format.js';
import {mark, Table} from './table.js';
import {registry_state} from './verdict.js';

/** So many blobs are asked for, the largest; the page says when there are more. */
export const kBlobs = 2000;
const kImagesShown = 50;
const kNowhere = 'not known';

const kRegistryColumns = [
  {
    key: 'name',
    title: 'Registry',
    value: (r) => r.name,
    cell: (cell, r) => {
      set_text(cell, r.name);
      set_attribute(cell, 'title', (r.upstreams || []).join(', ') || null);
    }
  },
  {key: 'state', title: 'Upstream', value: (r) => r.state[1], cell: (cell, r) => mark(cell, ...r.state)},
  {
    key: 'upstream',
    title: 'From upstream',
    number: true,
    value: (r) => r.upstream_bytes,
    text: (r) => format.bytes(r.upstream_bytes)
  },
  {key: 'blobs', title: 'Blobs', number: true, value: (r) => r.blobs, text: (r) => format.count(r.blobs)},
  {key: 'stored', title: 'In the cache', number: true, value: (r) => r.stored, text: (r) => format.bytes(r.stored)},
  {
    key: 'rights',
    title: 'Credentials',
    value: (r) => r.credentials || '',
    text: (r) => kRights[r.credentials] || r.credentials || '–'
  },
  {key: 'error', title: 'Last error', value: (r) => r.last_error || '', text: (r) => r.last_error || 'none'},
];
const kRights = {
  client: 'each caller\'s own',
  node: 'the node\'s'
};

const kImageColumns = [
  {key: 'name', title: 'Image', value: (i) => i.name, text: (i) => i.name},
  {key: 'blobs', title: 'Blobs', number: true, value: (i) => i.blobs, text: (i) => format.count(i.blobs)},
  {key: 'size', title: 'Size', number: true, value: (i) => i.size, text: (i) => format.bytes(i.size)},
  {key: 'stored', title: 'In the cache', number: true, value: (i) => i.stored, text: (i) => format.bytes(i.stored)},
  {
    key: 'state',
    title: 'State',
    value: (i) =>
        (i.running     ? 2 :
             i.partial ? 1 :
                         0),
    cell: (cell, i) => mark(cell, ...state_of(i))
  },
  {
    key: 'pinned',
    title: 'Pinned',
    number: true,
    value: (i) => i.pinned,
    text: (i) => (i.pinned ? format.many(i.pinned, 'blob') : '–')
  },
];

function state_of(image) {
  if (image.running) return ['run', 'being pulled'];
  if (image.partial) return ['idle', `${format.many(image.partial, 'blob')} in part`];
  return ['ok', 'complete'];
}

export class CacheView {
  constructor(redraw) {
    this.filter = by_id('cache-filter');
    this.filter.addEventListener('input', redraw);
    this.registries =
        new Table(by_id('registries'), kRegistryColumns, (row) => row.name, {key: 'stored', down: true}, 30);
    this.images =
        new Table(by_id('images'), kImageColumns, (row) => row.name, {key: 'stored', down: true}, kImagesShown);
  }

  draw(cache, status) {
    const filter = this.filter.value.trim().toLowerCase();
    const blobs = cache?.blobs || [];
    draw_storage(by_id('storage'), status.storage);
    this.draw_registries(registry_rows(blobs, status.registries || []));
    const images = image_rows(blobs);
    const chosen = filter ? images.filter((row) => row.words.includes(filter)) : images;
    const hidden = this.images.update(chosen);
    set_text(
        by_id('cache-count'),
        `${format.many(status.storage.blobs, 'blob')} · ${format.bytes(status.storage.stored_bytes)}`);
    const notes = [];
    if (filter && !chosen.length) notes.push('No image matches the filter.');
    if (!images.length && !filter) notes.push('Nothing is in the cache yet.');
    if (hidden) notes.push(`${format.many(hidden, 'more image')} not shown: filter to see them.`);
    if (cache && cache.total > blobs.length)
      notes.push(`Sums are of the ${format.count(blobs.length)} largest of ${
          format.many(cache.total, 'blob')}; oxbow cache ls has all.`);
    set_text(by_id('cache-more'), notes.join(' '));
    show(by_id('cache-more'), notes.length > 0);
  }

  /** Those that were of use; the daemon knows the public ones from the start. */
  draw_registries(rows) {
    const used = rows.filter((row) => row.upstream_bytes || row.blobs || row.last_error || row.state[0] !== 'ok');
    this.registries.update(used);
    const idle = rows.length - used.length;
    set_text(by_id('registries-more'), idle ? `${format.many(idle, 'registry', 'registries')} not asked yet.` : '');
    show(by_id('registries-more'), idle > 0);
  }
}

const registry_of = (repository) => repository.slice(0, Math.max(0, repository.indexOf('/'))) || kNowhere;

function registry_rows(blobs, registries) {
  const rows = new Map(registries.map((one) => [one.name, {...one, blobs: 0, stored: 0, state: registry_state(one)}]));
  for (const blob of blobs) {
    for (const name of new Set(blob.repositories.length ? blob.repositories.map(registry_of) : [kNowhere])) {
      if (!rows.has(name)) rows.set(name, {name, blobs: 0, stored: 0, state: ['none', '–'], upstream_bytes: null});
      const row = rows.get(name);
      row.blobs += 1;
      row.stored += blob.stored_bytes;
    }
  }
  return [...rows.values()];
}

function image_rows(blobs) {
  const rows = new Map();
  for (const blob of blobs) {
    for (const name of blob.repositories.length ? blob.repositories : [kNowhere]) {
      if (!rows.has(name))
        rows.set(
            name, {name, words: name.toLowerCase(), blobs: 0, size: 0, stored: 0, partial: 0, pinned: 0, running: 0});
      const row = rows.get(name);
      row.blobs += 1;
      row.size += blob.size_bytes;
      row.stored += blob.stored_bytes;
      row.partial += blob.state === 'partial' ? 1 : 0;
      row.pinned += blob.pinned ? 1 : 0;
      row.running += blob.running ? 1 : 0;
      row.words += ` ${blob.digest}`;
    }
  }
  return [...rows.values()];
}

function draw_storage(node, storage) {
  if (!node.firstElementChild) {
    node.append(
        el('div', {
          class: 'bar',
          role: 'meter',
          'aria-label': 'Cache budget in use',
          'aria-valuemin': '0',
          'aria-valuemax': '100'
        },
           el('span', {class: 'pinned'}), el('span', {class: 'storage'})),
        el('p'));
  }
  const [bar, text] = node.children;
  const loose = Math.max(0, storage.stored_bytes - storage.pinned_bytes);
  const all = Math.max(1, storage.budget_bytes + storage.pinned_bytes);
  const used = (loose + storage.pinned_bytes) / all;
  bar.children[0].style.width = `${Math.min(100, (storage.pinned_bytes / all) * 100).toFixed(2)}%`;
  bar.children[1].style.width = `${Math.min(100, (loose / all) * 100).toFixed(2)}%`;
  set_attribute(bar, 'aria-valuenow', Math.min(100, Math.round(used * 100)));
  set_attribute(bar, 'aria-valuetext', `${format.bytes(loose)} of ${format.bytes(storage.budget_bytes)}`);
  set_class(text, storage.writable ? '' : 'bad');
  set_text(
      text,
      `${format.bytes(loose)} of ${format.bytes(storage.budget_bytes)} budget` +
          (storage.pinned_bytes ? ` · ${format.bytes(storage.pinned_bytes)} pinned beside it` : '') +
          ` · ${format.bytes(storage.free_bytes)} free on the file system, floor ${format.bytes(storage.floor_bytes)}` +
          (storage.writable ? '' : ' · the disk takes no writes'));
}
