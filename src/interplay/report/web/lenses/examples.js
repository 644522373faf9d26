import { h } from "../dom.js";
import { count, cut } from "../format.js";

const CARDS = 120;
const CHIPS = 300;
const UNTAGGED = "Without a tag";

/**
 * Fine-tuning examples as cards with prompt, response and tag; above 120 as chips with their
 * numbers, above 300 as squares. They stand by tag.
 */
export function examplesLens(model) {
  const { cards } = model.view;
  const elements = Array.from({ length: model.n }, () => []);
  const look = model.n <= CARDS ? "cards" : model.n <= CHIPS ? "chips" : "squares";

  const tile = (player) => {
    const card = cards[player];
    const name = model.players[player];
    const element = h("div", { class: "player tile", "aria-label": `${player}: ${name}` });
    if (look === "chips") element.append(h("span", { class: "words" }, String(player)));
    if (look === "cards") element.append(about(card, player, name));
    elements[player].push(element);
    return element;
  };

  const tags = [...new Set(cards.map(({ tag }) => tag))].sort((a, b) => (a === null) - (b === null));
  const content = h("div", { class: `tiles examples ${look}` });
  for (const tag of tags) {
    const players = cards.flatMap((card, player) => (card.tag === tag ? [player] : []));
    if (tags.length > 1) content.append(h("h3", { dir: "auto" }, tag === null ? UNTAGGED : tag));
    content.append(h("div", { class: "flow" }, ...players.map(tile)));
  }
  return { content, elements, noun: cards.every(({ n_rows }) => n_rows === 1) ? "example" : "group" };
}

/** A player's number, its name if it is a group, and its first example. */
function about(card, player, name) {
  const isGroup = card.n_rows !== 1;
  return h(
    "div",
    { class: "about" },
    h("sup", {}, String(player)),
    isGroup ? h("bdi", { class: "words group" }, cut(name, 60) || "(blank)") : null,
    ...card.rows.slice(0, 1).flatMap((row) => example(row, 110)),
    isGroup ? h("small", {}, `${count(card.n_rows)} examples`) : null,
  );
}

/** An example's prompt and response, each on its own. */
export function example([prompt, response], length) {
  return [
    prompt.trim() ? h("span", { class: "prompt", dir: "auto" }, cut(prompt, length)) : null,
    h("span", { class: "response words", dir: "auto" }, cut(response.trim(), length) || "(blank)"),
  ].filter((part) => part !== null);
}
