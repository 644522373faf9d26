import { h } from "./dom.js";
import { count, cut, interval, signed } from "./format.js";
import { example } from "./lenses/examples.js";
import { thumbnail } from "./lenses/tiles.js";
import { done } from "./removal.js";

const ROWS = 3;

/** A set's players as chips: number and name, "×" between them. */
export function chips(model, players) {
  if (!players.length) return h("span", { class: "soft" }, "(nothing: the baseline)");
  return h(
    "span",
    { class: "chips" },
    ...players.map((player) => h("span", { class: "chip" }, ...title(model, player, 160))),
  );
}

/** Number and name; the name alone where it is the number. */
function title(model, player, length) {
  const text = h("bdi", {}, name(model, player, length));
  return model.players[player] === String(player) ? [text] : [h("sup", {}, String(player)), text];
}

function name(model, player, length) {
  const text = model.players[player];
  return text.trim() ? cut(text, length) : "(blank)";
}

/** What is said of a player when it is pointed at. */
export function aboutPlayer(model, state, player) {
  const { index, rows, effects, halves, findings } = state;
  const { thumbnails, snippets, rows_by_class: rowsByClass, classes, cards } = model.view;
  const value = effects[player];
  const half = halves[player];
  const lines = [
    h("p", { class: "name" }, ...title(model, player, 220)),
    h(
      "p",
      {},
      h("strong", {}, `${index} ${signed(value)}`),
      half === null ? "" : ` (${interval(value, half)})`,
      findings[player] || !value ? "" : " · may be zero",
      state.mask[player] ? "" : ` · ${done(model, [player])}`,
    ),
  ];
  const picture = thumbnail(thumbnails?.[player]);
  if (picture) lines.unshift(picture);
  if (snippets?.[player]) lines.push(h("p", { dir: "auto" }, cut(snippets[player], 300)));
  if (cards) {
    const { tag, n_rows: rows, rows: shown } = cards[player];
    // the name of a single example is made of its texts
    if (rows === 1 && shown.length) lines[0].replaceChildren(h("sup", {}, String(player)), "Example");
    for (const row of shown.slice(0, ROWS)) lines.push(h("p", {}, ...example(row, 300)));
    const more = rows - Math.min(shown.length, ROWS);
    const words = [more > 0 ? `${count(more)} more` : "", tag === null ? "" : `Tag: ${cut(tag, 60)}`];
    if (words.some(Boolean)) lines.push(h("p", { class: "soft", dir: "auto" }, words.filter(Boolean).join(" · ")));
  }
  if (rowsByClass) {
    const present = rowsByClass[player].flatMap((some, label) =>
      some ? [`${count(some)} of class ${classes[label]}`] : [],
    );
    lines.push(h("p", { class: "soft" }, `Rows: ${cut(present.join(", "), 160)}`));
  }
  const together = strongest(rows.filter((row) => row.finding && row.players.length > 1 && row.players.includes(player)), 3);
  for (const row of together) {
    const others = row.players.filter((other) => other !== player);
    const named = others.flatMap((other, i) => [i ? " × " : "", ...title(model, other, 28)]);
    lines.push(h("p", { class: "soft" }, `${signed(row.value)} with `, ...named));
  }
  return lines;
}

/** What is said of a set of players. */
export function aboutRow(model, state, row) {
  return [
    h("p", { class: "name" }, chips(model, row.players)),
    h(
      "p",
      {},
      h("strong", {}, `${state.index} ${signed(row.value)}`),
      row.half === null ? "" : ` (${interval(row.value, row.half)})`,
      row.finding ? "" : " · may be zero",
    ),
  ];
}

/** The largest by size, the largest first; ties as they came. */
export function strongest(rows, top) {
  return [...rows].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, top);
}
