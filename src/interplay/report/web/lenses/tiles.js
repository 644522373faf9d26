import { h } from "../dom.js";
import { count, cut } from "../format.js";

const CARDS = 60;
const CHIPS = 300;

/**
 * Players as tiles: cards with their names, chips with their numbers, or, above 300, squares.
 * Training data stand by class; thumbnails and snippets are shown where there are any.
 */
export function tilesLens(model) {
  const { rows_by_class: rowsByClass, classes, thumbnails, snippets } = model.view;
  const elements = Array.from({ length: model.n }, () => []);
  const look = model.n <= CARDS ? "cards" : model.n <= CHIPS ? "chips" : "squares";
  const content = h("div", { class: `tiles ${look}` });

  const tile = (player) => {
    const name = model.players[player];
    const element = h("div", { class: "player tile", "aria-label": name === String(player) ? name : `${player}: ${name}` });
    const picture = thumbnail(thumbnails?.[player]);
    if (picture) element.append(picture);
    if (look === "cards") {
      const rows = rowsByClass ? rowsByClass[player].reduce((all, some) => all + some, 0) : null;
      element.append(
        h(
          "div",
          { class: "about" },
          name === String(player) && !snippets?.[player] ? null : h("sup", {}, String(player)),
          h("bdi", { class: "words" }, cut(snippets?.[player] || name, 90)),
          rows === null ? null : h("small", {}, `${count(rows)} ${rows === 1 ? "row" : "rows"}`),
        ),
      );
    } else if (look === "chips" && !picture) {
      element.append(h("span", { class: "words" }, String(player)));
    }
    elements[player].push(element);
    return element;
  };

  for (const { title, players } of parts(model.n, rowsByClass, classes)) {
    if (title !== null) content.append(h("h3", { dir: "auto" }, title));
    content.append(h("div", { class: "flow" }, ...players.map(tile)));
  }
  return { content, elements, noun: rowsByClass ? "group" : "player" };
}

/** A picture from base64 of a PNG; the page's policy allows pictures from data only. */
export function thumbnail(base64) {
  if (!base64 || !/^[A-Za-z0-9+/=]+$/.test(base64)) return null;
  return h("img", { src: `data:image/png;base64,${base64}`, alt: "", class: "thumbnail" });
}

/** Players by the class of their rows, mixed ones last; one part without a title elsewhere. */
function parts(n, rowsByClass, classes) {
  const everyone = Array.from({ length: n }, (_, player) => player);
  if (!rowsByClass || classes.length < 2) return [{ title: null, players: everyone }];
  const classOf = (player) => {
    const present = rowsByClass[player].flatMap((rows, label) => (rows ? [label] : []));
    return present.length === 1 ? present[0] : classes.length;
  };
  return [...classes.map((label) => `Class ${label}`), "Several classes"]
    .map((title, label) => ({ title, players: everyone.filter((p) => classOf(p) === label) }))
    .filter(({ players }) => players.length);
}
