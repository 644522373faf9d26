import { h } from "../dom.js";

const DENSE = 120;
const ID = /^\[([^\]\n]{1,80})\]\s*/;

/**
 * The input itself: its pieces in order, those that are players as elements of their own. A chat is
 * shown as messages by role, documents as cards with their ids.
 */
export function textLens(model) {
  const { pieces, turns = [], blocks = false } = model.view;
  const elements = Array.from({ length: model.n }, () => []);
  const piece = ([text, player]) => {
    if (player === null) return blocks && !text.trim() ? "" : h("span", { class: "fixed" }, text);
    const id = blocks ? model.players[player].match(ID) : null;
    const element = h(
      "span",
      { class: ["player segment", text.trim() ? "" : "blank", blocks ? "document" : ""].filter(Boolean).join(" ") },
      id ? h("span", { class: "id words" }, id[1]) : "",
      h("bdi", { class: "words" }, ...(model.swapped.has(player) ? values(text) : [id && text.startsWith(id[0]) ? text.slice(id[0].length) : text])),
      h("sup", { "aria-hidden": "true" }, String(player)),
    );
    elements[player].push(element);
    return element;
  };
  const kind = ["text", model.n > DENSE ? "dense" : "", turns.length ? "chat" : ""].filter(Boolean).join(" ");
  const content = h("div", { class: kind, dir: "auto" });
  if (turns.length) {
    for (const { role, pieces: own } of turns) {
      content.append(h("div", { class: `bubble ${role === "user" || role === "assistant" ? role : "other"}` }, h("span", { class: "role" }, role || "with it"), h("div", { dir: "auto" }, ...own.map(piece))));
    }
  } else content.append(...pieces.map(piece));
  return { content, elements, noun: blocks ? "document" : "segment" };
}

/** What is written, which a swap strikes out, and the arrow and the other value behind it. */
function values(text) {
  const at = text.indexOf(" → ");
  return at < 0 ? [text] : [h("span", { class: "was" }, text.slice(0, at)), text.slice(at)];
}
