import { select } from "d3-selection";
import { drawCircuits } from "./circuitchart.js";
import { endsOf, known, point, said } from "./circuit.js";
import { button, h, select as field } from "./dom.js";
import { count, number } from "./format.js";
import { recordedSizes } from "./model.js";

const RATIO = "f, the faithfulness of a circuit, of the score beside it: (its score − that of nothing) / (that of the whole model − that of nothing).";

/** Which components to keep at each size, and the score that they have: the map shows them. */
export function createCircuits(model, store) {
  const all = model.circuits.series;
  const sizes = recordedSizes(model);
  const figure = h("div", { class: "circuit-chart" });
  const svg = select(figure).append("svg").attr("role", "img");
  const about = h("p", { class: "soft small" });
  const status = h("p", { class: "status", role: "status" });
  const table = h("tbody");
  const values = h("thead");
  const slider = h("input", { type: "range", min: 0, max: model.n, step: 1, "aria-label": "Number of components kept" });
  const shown = () => all[store.get().series];
  const go = (row) => store.set({ mask: shown().kept[row] });
  /** The circuit that is shown, or else the largest one of no more players than the slider says. */
  const at = () => store.get().circuit ?? Math.max(below(Number(slider.value)), 0);
  const below = (size) => shown().sizes.filter((one) => one <= size).length - 1;
  slider.addEventListener("input", () => {
    const wanted = slider.valueAsNumber;
    const { sizes: known } = shown();
    const above = known.findIndex((size) => size >= wanted);
    if (wanted > known[at()]) go(above < 0 ? known.length - 1 : above);
    else go(Math.max(below(wanted), 0));
    draw(store.get()); // the slider snaps to a size, which may be that of before
  });
  const smaller = button("Smaller", () => go(Math.max(at() - 1, 0)));
  const larger = button("Larger", () => go(Math.min(at() + 1, shown().sizes.length - 1)));

  store.on(["mask", "series"], ({ mask, series }) => {
    const row = all[series].kept.findIndex((kept) => kept.every((one, player) => one === mask[player]));
    store.set({ circuit: row < 0 ? null : row });
  });
  const draw = (state) => {
    const one = all[state.series];
    const rows = one.sizes.map((size, row) => point(model, one, row, state.output));
    about.textContent = [one.about, ...key(model, one)].join(" ");
    const now = state.circuit === null ? null : rows[state.circuit];
    if (now) slider.value = now.size;
    slider.setAttribute("aria-valuetext", now ? `${now.size} of ${model.n} kept` : "another choice");
    status.replaceChildren(...said(model, state, now));
    values.replaceChildren(h("tr", {}, ...heads(one).map((name, i) => h("th", { scope: "col", class: i ? "value" : null }, name))));
    table.replaceChildren(...rows.map((row) => tableRow(model, one, row, state, () => go(row.row))));
    drawCircuits(model, svg, figure.clientWidth, { state, one, rows, sizes, go });
  };
  new ResizeObserver(() => draw(store.get())).observe(figure);
  store.on(["series", "circuit", "output"], draw);
  const details = h("details", {}, h("summary", {}, "All sizes"), h("div", { class: "wide", role: "group", "aria-label": "Circuits by size", tabindex: 0 }, h("table", { class: "rows sizes" }, values, table)));
  addEventListener("beforeprint", () => (details.open = true));
  return h(
    "section",
    { class: "circuits", "aria-label": "Circuits" },
    h("h2", {}, "Circuits: what to keep"),
    h(
      "div",
      { class: "stepper" },
      field("Circuits", all.map((one, i) => [String(i), one.name]), String(store.get().series), (value) => {
        const before = shown().sizes[at()];
        store.set({ series: Number(value) });
        go(Math.max(below(before), 0));
      }),
      h("span", { class: "steps" }, smaller, larger),
      status,
    ),
    h("div", { class: "controls slider" }, slider),
    figure,
    about,
    details,
  );
}

/** What the chart's marks are. */
function key(model, one) {
  const { low, high, ends } = model.circuits;
  return [
    "Dashes and hollow dots: predicted; filled dots: measured.",
    known(one.test) ? "Squares: on other items; dotted: the whole model on these." : "",
    one.errors ? "Band: the error of predictions of random masks of about that size." : "",
    "Grey dots: the ablations of the run.",
    low > 1 || high < model.n - 1 ? "Grey ground: sizes of which it has no masks." : "",
    ends ? RATIO : "",
  ].filter(Boolean);
}

function heads(one) {
  return ["Kept", "Predicted", "Measured", "f", ...(known(one.test) ? ["On other items"] : [])];
}

function tableRow(model, one, now, state, click) {
  const cell = (...content) => h("td", { class: "value" }, ...content);
  return h(
    "tr",
    { class: state.circuit === now.row ? "lit" : null, "data-size": now.size, on: { click } },
    h("th", { scope: "row" }, count(now.size)),
    cell(number(now.predicted)),
    cell(now.measured === null ? h("span", { class: "soft" }, "not measured") : number(now.measured)),
    cell(now.share === null ? "" : now.share.toFixed(2), now.measured === null ? h("span", { class: "soft" }, " predicted") : ""),
    ...(known(one.test)
      ? [cell(now.test === null ? "" : number(now.test), now.low === null ? "" : ` (${number(now.low)} to ${number(now.high)})`, now.testShare === null ? "" : `, f = ${now.testShare.toFixed(2)}`)]
      : []),
  );
}
