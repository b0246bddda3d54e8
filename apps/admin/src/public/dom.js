/** Builds elements. Text always becomes a text node, so no outside text becomes markup. */

/** An element with attributes and children; `null` children are left out. */
export function el(tag, attributes = {}, ...children) {
  return fillIn(document.createElement(tag), attributes, children);
}

/** Like `el`, for SVG elements. */
export function svg(tag, attributes = {}, ...children) {
  return fillIn(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function fillIn(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets text only when it differs, so that screen readers do not repeat it. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Rebuilds the content of an element only when `key` differs, so that focus and selection stay. */
export function rebuild(element, key, make) {
  const wanted = JSON.stringify(key) ?? '';
  if (element.dataset.key === wanted) return;
  element.dataset.key = wanted;
  element.replaceChildren(...make().filter((child) => child !== null && child !== undefined));
}
