// Elements from data. Data only ever becomes text: nothing here or elsewhere parses it as HTML.

/**
 * A new element: `el("td", {class: "n"}, "12")`. Attributes that are null or false are left out; `on` is an object of
 * listeners.
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (value !== null && value !== false && value !== undefined) {
      node.setAttribute(name, value === true ? '' : value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const by_id = (id) => document.getElementById(id);

/** Touches the document only when something changed, so that screen readers are not told again what they know. */
export function set_text(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function set_class(node, text) {
  if (node.className !== text) node.className = text;
}

export function set_attribute(node, name, value) {
  if (value === null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

const kParts = Symbol('parts');

/**
 * Makes the children of `list` stand for `items`, in order. A child is kept while its key is: focus, scroll positions
 * and opened details survive. `create(item)` returns an element; `update(element, item)` brings it up to date.
 */
export function sync(list, items, key_of, create, update) {
  const known = list[kParts] || new Map();
  const kept = new Map();
  for (const item of items) {
    const key = key_of(item);
    if (kept.has(key)) continue;
    const child = known.get(key) || create(item);
    update(child, item);
    kept.set(key, child);
  }
  // First those that leave: then whoever stays need not be moved past them, and a moved element loses the focus.
  for (const [key, child] of known) {
    if (!kept.has(key)) child.remove();
  }
  let place = list.firstElementChild;
  for (const child of kept.values()) {
    if (child === place) {
      place = place.nextElementSibling;
    } else {
      list.insertBefore(child, place);
    }
  }
  list[kParts] = kept;
}

/** A canvas sized for the screen's pixels; null when it is not shown. The context's unit is a CSS pixel. */
export function pen(canvas, height) {
  const width = Math.floor(canvas.clientWidth);
  if (width < 8 || height < 1) return null;
  const scale = Math.min(3, window.devicePixelRatio || 1);
  const pixels = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== pixels[0]) canvas.width = pixels[0];
  if (canvas.height !== pixels[1]) canvas.height = pixels[1];
  if (canvas.style.height !== `${height}px`) canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return {context, width, height};
}
