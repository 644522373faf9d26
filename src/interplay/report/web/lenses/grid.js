import { h } from "../dom.js";

const MANY = 12;
const CROWDED = 16; // columns of heads, of which a narrow screen names every fourth
const SINGLE = 1.6; // of a head's width: a column of MLPs, or of layers
const SEVERAL = 4; // a column with several units of a layer, such as latents

/**
 * Components as a map: a row for each layer that has a player, a column for each head, then one for
 * each other kind. A player of several units has several cells.
 */
export function gridLens(model) {
  const { columns, n_heads: nHeads, rows, others } = model.view;
  const elements = Array.from({ length: model.n }, () => []);
  const labels = Array.from({ length: model.n }, () => []);

  const piece = (player, text) => {
    const first = elements[player].length === 0;
    const element = h("div", {
      class: "player cell",
      "aria-label": first ? model.players[player] : null,
      "aria-hidden": first ? null : "true",
    });
    if (text) element.append(h("span", { class: "words" }, text));
    elements[player].push(element);
    return element;
  };
  const titles = columns.map((name, column) =>
    h("div", { class: column < nHeads && nHeads > CROWDED && column % 4 ? "minor" : null }, h("span", {}, name)),
  );
  const lines = rows.map(({ layer, cells }, i) => {
    const label = h("div", { class: "label" }, h("span", {}, String(layer)));
    const row = h("div", { class: i && rows[i - 1].layer < layer - 1 ? "layer after-gap" : "layer" }, label);
    cells.forEach((players, column) => {
      if (players === null) row.append(h("div"));
      else if (!players.length) row.append(h("div", { class: "cell absent" }));
      else {
        const own = players.map((player) => piece(player));
        row.append(own.length === 1 ? own[0] : h("div", { class: "several" }, ...own));
        for (const player of players) labels[player].push(label, titles[column]);
      }
    });
    return row;
  });
  const named = nHeads > 0;
  const axis = h(
    "div",
    { class: "layer titles", "aria-hidden": "true" },
    h("div", { class: "label" }, named ? "" : "layer"),
    named ? h("div", { class: "axis-name" }, h("span", {}, "head")) : null,
  );
  const head = h("div", { class: "layer titles", "aria-hidden": "true" }, h("div", { class: "label" }, h("span", {}, "layer")), ...titles);
  const frame = h("div", { class: "frame" }, ...lines);
  const content = h(
    "div",
    { class: rows.length > MANY ? "layers many" : "layers" },
    // what joins words and components crosses no title: they stand below
    ...(others.length
      ? [h("div", { class: "flow others" }, ...others.map((player) => piece(player, model.players[player]))), frame, head, named ? axis : null]
      : [named ? axis : null, head, frame]),
  );
  const share = (column) => {
    if (column < nHeads) return 1;
    return rows.some(({ cells }) => cells[column]?.length > 1) ? SEVERAL : SINGLE;
  };
  const template = ["2.6rem", ...columns.map((_, column) => `minmax(0, ${share(column)}fr)`)].join(" ");
  for (const row of content.querySelectorAll(".layer")) row.style.gridTemplateColumns = template;
  if (named) axis.lastChild.style.gridColumn = `2 / span ${nHeads}`;
  return { content, elements, labels, frame, noun: others.length ? "player" : "component", selects: true };
}
