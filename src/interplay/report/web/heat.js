import { h } from "./dom.js";
import { cut, interval, number, signed } from "./format.js";
import { scaleEnd } from "./legend.js";
import { hideTip, showTip } from "./tip.js";
import { isMean, judged } from "./verdict.js";

const MOST_ROWS = 400;
const MOST_COLUMNS = 40;
const NAME = 160;

/**
 * What each segment alone does to each output: a row for each output, such as a sentence or a token
 * of a long answer, a column for each segment. A click on a row shows its interactions; arrow keys
 * go from cell to cell. Null for an explanation that is not of a text, or of one output.
 */
export function createHeat(model, store) {
  const outputs = model.outputs.length;
  if (model.view.kind !== "text" || outputs < 2 || outputs > MOST_ROWS) return null;
  const body = h("tbody", {});
  const head = h("tr", {});
  const about = h("p", { class: "soft small" });
  let at = { row: 0, column: 0 }; // of the one that Tab leads to: a row's name, or a cell
  const placeAt = ({ row, column }) => (column ? body.rows[row].cells[column] : body.rows[row].querySelector("button"));
  const rove = () => {
    for (const one of body.querySelectorAll('[tabindex="0"]')) one.tabIndex = -1;
    placeAt(at).tabIndex = 0;
  };
  const named = (output) => (model.outputs[output].trim() ? model.outputs[output] : `output ${output}`);

  store.on(["index", "order"], ({ index, order }) => {
    const singles = Array.from({ length: outputs }, (_, output) => {
      const of = new Map();
      for (const row of judged(model, index, order, output)) if (row.players.length === 1) of.set(row.players[0], row);
      return of;
    });
    const { players, left } = shown(model, singles);
    const largest = singles.map((of) => Math.max(0, ...[...of.values()].map((row) => (row.finding ? Math.abs(row.value) : 0))));
    // one scale for all where they are measured alike
    const alike = new Set(model.units).size === 1;
    const most = largest.indexOf(Math.max(...largest));
    const ends = largest.map((one, output) => (alike ? scaleEnd(model, most, largest[most]) : scaleEnd(model, output, one)));

    head.replaceChildren(
      h("th", { scope: "col" }, "output"),
      ...players.map((player) => h("th", { scope: "col", title: cut(model.players[player], NAME) }, String(player))),
    );
    body.replaceChildren(
      ...singles.map((of, output) => {
        const trusted = model.verdict.trusted[output];
        const cells = players.map((player) => {
          const row = of.get(player);
          const shade = row?.finding ? Math.min(0.6, (0.6 * Math.abs(row.value)) / ends[output]) : 0;
          const cell = h("td", {
            class: row?.value < 0 ? "heat minus" : "heat",
            tabindex: -1,
            "data-output": output,
            "data-player": player,
            "aria-label": row ? `${player}: ${signed(row.value)}${row.finding ? "" : ", may be zero"}` : `${player}: 0`,
          });
          cell.style.setProperty("--a", shade.toFixed(3));
          cell.row = row;
          return cell;
        });
        const name = h("button", { type: "button", class: "name", tabindex: -1, "data-output": output }, h("bdi", {}, cut(named(output), NAME)));
        const doubt = trusted ? null : h("small", { class: "soft" }, " (not shown to be predicted better than by the mean)");
        return h("tr", { "data-output": output, class: isMean(model, output) ? "mean" : null }, h("th", { scope: "row" }, name, doubt), ...cells);
      }),
    );
    at.column = Math.min(at.column, players.length);
    rove();
    const unit = alike && model.units[0] ? ` ${model.units[0]}` : "";
    about.textContent = [
      `Each cell: ${index} of a segment alone, by its number in the input.`,
      alike ? `Full colour: ${number(ends[0])}${unit}, in all rows.` : "Each row has its own scale.",
      left ? `The ${players.length} segments with the largest values are shown, ${left} are left out.` : "",
      "Click an output to see its interactions.",
    ].filter(Boolean).join(" ");
  });

  store.on(["output", "index", "order"], ({ output }) => {
    for (const row of body.rows) {
      const chosen = Number(row.dataset.output) === output;
      row.classList.toggle("chosen", chosen);
      row.querySelector("button").setAttribute("aria-pressed", chosen ? "true" : "false");
    }
  });
  const tell = (cell) => {
    const { player, output } = cell.dataset;
    const row = cell.row;
    const value = row ? `${signed(row.value)}${row.half === null ? "" : ` (${interval(row.value, row.half)})`}` : "0";
    showTip(cell, [
      h("p", { class: "name" }, h("sup", {}, player), h("bdi", {}, cut(model.players[player], 220))),
      h("p", {}, h("strong", {}, value), row && !row.finding ? " · may be zero" : ""),
      h("p", { class: "soft" }, "for ", h("bdi", {}, cut(named(Number(output)), 220))),
    ]);
  };
  const choose = (event) => {
    const element = event.target.closest?.("[data-output]");
    if (element) store.set({ output: Number(element.dataset.output), pinned: null });
  };
  const table = h(
    "table",
    {
      class: "heatmap",
      role: "grid",
      "aria-label": "What each segment alone does to each output. Arrow keys move, Enter shows an output's interactions.",
      on: {
        click: choose,
        pointerover: (event) => {
          const cell = event.target.closest?.("td.heat");
          if (cell) tell(cell);
          else hideTip();
        },
        pointerleave: hideTip,
        focusin: (event) => {
          const place = event.target.closest("td, th");
          at = { row: place.parentElement.sectionRowIndex, column: place.cellIndex };
          rove();
          if (place.matches("td.heat")) tell(place);
        },
        focusout: hideTip,
        keydown: (event) => {
          if (event.metaKey || event.altKey) return;
          const last = { row: body.rows.length - 1, column: head.cells.length - 1 };
          const next = moved(event.key, event.ctrlKey, at, last);
          if (next) {
            at = next;
            rove();
            // what scrolls under the names of rows and columns is not seen
            box.style.scrollPadding = `${head.offsetHeight}px 4px 4px ${head.cells[0].offsetWidth}px`;
            placeAt(at).focus({ preventScroll: true });
            placeAt(at).scrollIntoView({ block: "nearest", inline: "nearest" });
          } else if (event.key === "Enter" || event.key === " ") choose(event);
          else return;
          event.preventDefault();
        },
      },
    },
    h("thead", {}, head),
    body,
  );
  const box = h("div", { class: "wide" }, table);
  return h("section", { class: "outputs" }, h("h2", {}, "The outputs"), box, about);
}

/** The place that a key leads to from another one in a table, or null for another key. */
function moved(key, isFar, { row, column }, last) {
  const to = (r, c) => ({ row: Math.min(Math.max(r, 0), last.row), column: Math.min(Math.max(c, 0), last.column) });
  if (key === "Home") return to(isFar ? 0 : row, 0);
  if (key === "End") return to(isFar ? last.row : row, last.column);
  const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[key] ?? [0, 0];
  return (down || right) && !isFar ? to(row + down, column + right) : null;
}

/** The segments that have a column, in order: all, or those with the largest values. */
function shown(model, singles) {
  const everyone = Array.from({ length: model.n }, (_, player) => player);
  if (model.n <= MOST_COLUMNS) return { players: everyone, left: 0 };
  const sizes = everyone.map((player) => Math.max(...singles.map((of) => Math.abs(of.get(player)?.value ?? 0))));
  const players = [...everyone].sort((a, b) => sizes[b] - sizes[a]).slice(0, MOST_COLUMNS).sort((a, b) => a - b);
  return { players, left: model.n - players.length };
}
