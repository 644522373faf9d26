import { h } from "../dom.js";

const DENSE = 120;

/** The input itself: its pieces in order, those that are players as elements of their own. */
export function textLens(model) {
  const elements = Array.from({ length: model.n }, () => []);
  const content = h("div", { class: model.n > DENSE ? "text dense" : "text", dir: "auto" });
  for (const [text, player] of model.view.pieces) {
    if (player === null) {
      content.append(h("span", { class: "fixed" }, text));
      continue;
    }
    const element = h(
      "span",
      { class: text.trim() ? "player segment" : "player segment blank" },
      h("bdi", { class: "words" }, text),
      h("sup", { "aria-hidden": "true" }, String(player)),
    );
    elements[player].push(element);
    content.append(element);
  }
  return { content, elements, noun: "segment" };
}
