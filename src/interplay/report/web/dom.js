/**
 * An element. Texts become text nodes, never markup; there are no style attributes, which the
 * page's content security policy forbids.
 *
 * @param {string} tag
 * @param {object} attributes `on`: listeners by event; the others as attributes, `true` as an
 *     empty one, `false` and `null` not at all.
 * @param {...(Node|string|null)} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    } else if (value !== null && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A labelled `<select>`; `options` are pairs of value and label. */
export function select(label, options, value, change) {
  const field = h(
    "select",
    { on: { change: () => change(field.value) } },
    ...options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
  );
  return h("label", { class: "field" }, h("span", {}, label), field);
}

export function button(label, click) {
  return h("button", { type: "button", on: { click } }, label);
}

// The `<option>`s of a select: pairs of a value and what is read.
export const optionsOf = (pairs) => pairs.map(([value, label]) => h("option", { value }, label));
