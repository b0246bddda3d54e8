/** Builds elements. Text only ever becomes a text node, so nothing that came from outside can be markup. */

/** An element with attributes and children; `null` children are left out. */
export function el(tag, attributes = {}, ...children) {
  return fillIn(document.createElement(tag), attributes, children);
}

/** The same for parts of a drawing. */
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

/** Sets text only when it differs, so that screen readers are not told the same again and again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Rebuilds what is in an element only when `key` differs, so that focus and selection stay. */
export function rebuild(element, key, make) {
  const wanted = JSON.stringify(key) ?? '';
  if (element.dataset.key === wanted) return;
  element.dataset.key = wanted;
  element.replaceChildren(...make().filter((child) => child !== null && child !== undefined));
}
