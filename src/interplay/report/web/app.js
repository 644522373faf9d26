import { createArcs } from "./arcs.js";
import { createBoard } from "./board.js";
import { createCircuits } from "./circuits.js";
import { h } from "./dom.js";
import { createEnergy, createScatter } from "./faithfulness.js";
import { createFilters, createIndexChoice, createOutputs, listed, matching } from "./filters.js";
import { followFindings } from "./head.js";
import { createHeat } from "./heat.js";
import { readModel } from "./model.js";
import { createPartners } from "./partners.js";
import { createRanking } from "./ranking.js";
import { createSave } from "./save.js";
import { createStore } from "./state.js";
import { judged } from "./verdict.js";
import { createWhatIf } from "./whatif.js";

/**
 * Puts an explanation's interactive views in the place of its static ones. The head and the cards
 * stay as they are: what they name lights up.
 */
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
    answer: null, // what a model said just now: {key, values}, see maskKey
    asking: null, // the key of the mask that it is being asked about
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

  const isMap = model.view.kind === "grid"; // which has the arcs on it
  const place = (name, ...views) => {
    const at = part.querySelector(name);
    at.append(...views.filter(Boolean));
    at.hidden = false;
  };
  place(".board-place", createOutputs(model, store), createBoard(model, store), createHeat(model, store), model.circuits && createCircuits(model, store));
  if (isMap) part.querySelector(".beside").prepend(createPartners(model, store));
  place(".side-place", createWhatIf(model, store));
  const about = h("p", { class: "soft small", "data-about": true });
  store.on(["index", "order", "output"], (state) => about.replaceChildren(...meaning(part, model, state)));
  place(
    ".rest-place",
    h(
      "section",
      {},
      h("h2", {}, "All interactions"),
      createIndexChoice(model, store),
      about,
      createFilters(model, store),
      isMap ? null : createArcs(model, store),
      createRanking(model, store),
    ),
    h("section", { class: "charts" }, createScatter(model, store), createEnergy(model, store)),
  );
  followFindings(part, model, store);
  part.querySelector(".reading").after(createSave(part));
  for (const still of part.querySelectorAll(".static")) still.hidden = true;
  return { model, store };
}

function meaning(part, model, { index, order, output }) {
  const intervals = model.halves[`${index}/${order}`]?.[output]
    ? ` Lines on the bars: intervals that cover with ${Math.round(100 * model.intervals.level)} %.`
    : "";
  const words = h("a", { href: `#${part.id}-words` }, index);
  return [words, ` of order ${order}. ${model.meanings[index]}${intervals}`];
}
