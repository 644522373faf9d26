import { createArcs } from "./arcs.js";
import { createBoard } from "./board.js";
import { h } from "./dom.js";
import { createEnergy, createScatter } from "./faithfulness.js";
import { createCircuits } from "./circuits.js";
import { createChoices, createFilters, listed, matching } from "./filters.js";
import { readModel } from "./model.js";
import { createPartners } from "./partners.js";
import { judged } from "./verdict.js";
import { createRanking } from "./ranking.js";
import { createStore } from "./state.js";
import { createWhatIf } from "./whatif.js";

/** Puts an explanation's interactive views in the place of its static ones. */
export function startPart(part) {
  const model = readModel(JSON.parse(part.querySelector("script.data").textContent));
  const store = createStore({
    output: model.output,
    index: model.index,
    order: model.order,
    size: model.orders > 1 ? "many" : "one",
    sign: "all",
    certainty: "findings",
    strength: 0,
    query: "",
    top: 10,
    mask: new Uint8Array(model.n).fill(1),
    hover: null,
    pinned: null,
    selected: null,
    series: 0,
    circuit: null,
  });
  store.on(["index", "order", "output"], ({ index, order, output }) => {
    const rows = judged(model, index, order, output);
    const effects = new Float64Array(model.n);
    const halves = new Array(model.n).fill(null);
    const findings = new Array(model.n).fill(false);
    for (const { players, value, half, finding } of rows) {
      if (players.length === 1) {
        effects[players[0]] = value;
        halves[players[0]] = half;
        findings[players[0]] = finding;
      }
    }
    store.set({ rows, effects: Array.from(effects), halves, findings });
  });
  store.on(["query"], ({ query }) => store.set({ matches: matching(model, query) }));
  store.on(["rows", "size", "sign", "certainty", "strength", "matches"], (state) => store.set({ listed: listed(state) }));

  const about = h("p", { class: "soft small", "data-about": true });
  store.on(["index", "order", "output"], (state) => (about.textContent = meaning(model, state)));
  const app = part.querySelector(".app");
  const isMap = model.view.kind === "grid"; // which has the arcs on it
  app.append(
    createChoices(model, store),
    h(
      "div",
      { class: "split" },
      h("div", {}, createBoard(model, store), model.circuits && createCircuits(model, store)),
      h("div", { class: "side" }, isMap ? createPartners(model, store) : null, createWhatIf(model, store)),
    ),
    h(
      "section",
      {},
      h("h2", {}, "Interactions"),
      about,
      createFilters(model, store),
      isMap ? null : createArcs(model, store),
      createRanking(model, store),
    ),
    h("section", { class: "charts" }, createScatter(model, store), createEnergy(model, store)),
  );
  app.hidden = false;
  part.querySelector(".static").hidden = true;
  return { model, store };
}

function meaning(model, { index, order, output }) {
  const what = model.meanings[index];
  const intervals = model.halves[`${index}/${order}`]?.[output]
    ? ` Lines on the bars: intervals that cover with ${Math.round(100 * model.intervals.level)} %.`
    : "";
  return `${index} of order ${order}. ${what}${intervals}`;
}
