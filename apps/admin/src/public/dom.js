/** Builds elements. Text only ever becomes a text node, so nothing that came from outside can be markup. */

/** An element with attributes and children; `null` children are left out. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets text only when it differs, so that screen readers are not told the same again and again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
