// A table that can be sorted by its headings and shows at most so many rows: whoever wants others filters.
import {el, set_attribute, set_class, set_text, sync} from './dom.js';

/**
 * `columns`: [{key, title, value: row → what it sorts by, text: row → what it shows, number, worst: sorts downwards at
 * first, cell: (td, row) instead of `text`}]. The first column heads its row. `order`: {key, down}.
 */
export class Table {
  constructor(table, columns, key_of, order, limit) {
    Object.assign(this, {columns, key_of, order, limit});
    this.rows = [];
    this.headings = columns.map((column) => this.heading(column));
    this.body = el('tbody');
    table.classList.add('sortable');
    table.append(el('thead', {}, el('tr', {}, ...this.headings)), this.body);
  }

  heading(column) {
    const sign = el('span', {class: 'arrow', 'aria-hidden': 'true'});
    const button = el('button', {type: 'button', on: {click: () => this.sort_by(column)}}, column.title, sign);
    return el('th', {scope: 'col', class: column.number ? 'n' : null}, button);
  }

  sort_by(column) {
    const same = this.order.key === column.key;
    this.order = {key: column.key, down: same ? !this.order.down : Boolean(column.number)};
    this.draw();
  }

  /** Returns how many rows are not shown. */
  update(rows) {
    this.rows = rows;
    return this.draw();
  }

  draw() {
    const column = this.columns.find((one) => one.key === this.order.key);
    const sign = this.order.down ? -1 : 1;
    const order = (a, b) => sign * compare(column.value(a), column.value(b)) || compare(this.key_of(a), this.key_of(b));
    sync(
        this.body, first_of(this.rows, this.limit, order), this.key_of, () => this.create(),
        (line, row) => this.fill(line, row));
    this.columns.forEach((one, index) => {
      const active = one === column;
      set_attribute(this.headings[index], 'aria-sort', active ? (this.order.down ? 'descending' : 'ascending') : null);
      set_text(this.headings[index].querySelector('.arrow'), active ? (this.order.down ? ' ▾' : ' ▴') : '');
    });
    return Math.max(0, this.rows.length - this.limit);
  }

  create() {
    return el('tr', {}, ...this.columns.map((column, index) => index === 0 ? el('th', {scope: 'row'}) : el('td', {
                                              class: column.number ? 'n' : null,
                                              'data-title': column.title
                                            })));
  }

  fill(line, row) {
    this.columns.forEach((column, index) => {
      const cell = line.children[index];
      if (column.cell) {
        column.cell(cell, row);
      } else {
        set_text(cell, column.text(row));
      }
    });
  }
}

/** node-9 before node-10. Made once: making one costs more than thousands of comparisons. */
const words = new Intl.Collator('en', {numeric: true});

function compare(a, b) {
  if (typeof a === 'string' || typeof b === 'string') return words.compare(String(a), String(b));
  return (a ?? -1) - (b ?? -1);
}

/** The first `limit` rows in this order. Of ten thousand only they are ever put in order. */
function first_of(rows, limit, order) {
  const first = [];
  for (const row of rows) {
    if (first.length === limit && order(row, first[limit - 1]) >= 0) continue;
    let [low, high] = [0, first.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order(row, first[middle]) < 0)
        high = middle;
      else
        low = middle + 1;
    }
    first.splice(low, 0, row);
    if (first.length > limit) first.pop();
  }
  return first;
}

/** A word with a sign whose form, not only its colour, says how good it is. */
export function mark(cell, level, text) {
  if (!cell.firstElementChild) cell.append(el('span', {class: 'sign', 'aria-hidden': 'true'}), el('span'));
  const [sign, word] = cell.children;
  set_class(sign, `sign ${level}`);
  set_text(sign, kSigns[level]);
  set_text(word, text);
}

export const kSigns = {
  none: '',
  ok: '✓',
  warn: '▲',
  bad: '✕',
  wait: '…',
  run: '↓',
  idle: '–'
};
