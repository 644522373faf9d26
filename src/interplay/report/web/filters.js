import { button, h, select } from "./dom.js";
import { cut } from "./format.js";
import { judges } from "./verdict.js";

const SIZES = { many: "two or more players", one: "single players", all: "all sizes" };
const CERTAINTY = { findings: "distinguishable from zero", all: "all values" };
const FEW = 3; // outputs, each with a button
const LONG = 40;
const SIGNS = { all: "both signs", plus: "positive", minus: "negative" };

/** Which of several outputs the views show. */
export function createOutputs(model, store) {
  if (model.outputs.length < 2) return null;
  const names = model.outputs.map((name, i) => [String(i), name.trim() ? name : `output ${i}`]);
  const choose = (output) => store.set({ output, pinned: null });
  if (names.length <= FEW) {
    const each = names.map(([i, name]) => button(cut(name, LONG), () => choose(Number(i))));
    store.on(["output"], ({ output }) => each.forEach((one, i) => one.setAttribute("aria-pressed", i === output ? "true" : "false")));
    return h("div", { class: "controls choices each", role: "group", "aria-label": "Output" }, h("span", {}, "Output"), ...each);
  }
  const field = select("Output", names, String(store.get().output), (value) => choose(Number(value)));
  store.on(["output"], ({ output }) => (field.querySelector("select").value = String(output)));
  const count = names.length;
  const step = (by) => choose((store.get().output + by + count) % count);
  return h(
    "div",
    { class: "controls choices" },
    field,
    button("Previous output", () => step(-1)),
    button("Next output", () => step(1)),
  );
}

/** By which index, and up to which order. */
export function createIndexChoice(model, store) {
  const orders = h("select", { on: { change: () => store.set({ order: Number(orders.value), pinned: null }) } });
  store.on(["index"], ({ index, order }) => {
    const known = Object.keys(model.weights[index]);
    orders.replaceChildren(...known.map((one) => h("option", { value: one, selected: one === String(order) }, one)));
  });
  return h(
    "div",
    { class: "controls choices" },
    select("Index", Object.keys(model.weights).map((name) => [name, name]), store.get().index, (index) => {
      const most = Math.max(...Object.keys(model.weights[index]).map(Number));
      // one of single players lists these; the others list sets again
      const size = most === 1 && model.orders > 1 ? "one" : store.get().size === "one" && store.get().order === 1 ? "many" : store.get().size;
      const order = most === 1 ? 1 : store.get().order === 1 ? Math.min(model.order, most) : store.get().order;
      store.set({ index, order, size, pinned: null });
    }),
    h("label", { class: "field" }, h("span", {}, "Up to order"), orders),
  );
}

/** Filters of the list of interactions. */
export function createFilters(model, store) {
  const state = store.get();
  const sizes = Object.entries(SIZES);
  for (let size = 2; size <= model.orders; size++) sizes.push([String(size), `exactly ${size} players`]);
  const shown = select("Show", sizes, state.size, (size) => store.set({ size }));
  store.on(["size"], ({ size }) => (shown.querySelector("select").value = size));
  const strength = h("input", {
    type: "range", min: 0, max: 100, step: 1, value: 0,
    on: { input: () => store.set({ strength: strength.valueAsNumber / 100 }) },
  });
  const query = h("input", {
    type: "search", placeholder: "name or number", autocomplete: "off", spellcheck: "false",
    on: { input: () => store.set({ query: query.value }) },
  });
  const threshold = h("output", {});
  store.on(["strength"], (now) => {
    threshold.textContent = `${Math.round(100 * now.strength)} %`;
    strength.setAttribute("aria-valuetext", `at least ${threshold.textContent} of the strongest`);
  });
  return h(
    "div",
    { class: "controls filters" },
    shown,
    judges(model)
      ? select("Certainty", Object.entries(CERTAINTY), state.certainty, (certainty) => store.set({ certainty }))
      : null,
    select("Sign", Object.entries(SIGNS), state.sign, (sign) => store.set({ sign })),
    h("label", { class: "field" }, h("span", {}, "At least ", threshold, " of the strongest"), strength),
    h("label", { class: "field grow" }, h("span", {}, "Find a player"), query),
  );
}

/** The players that a query names: by number, or by a part of the name; null without one. */
export function matching(model, query) {
  const wanted = query.trim().toLowerCase();
  if (!wanted) return null;
  const found = new Set();
  model.players.forEach((name, player) => {
    if (String(player) === wanted || name.toLowerCase().includes(wanted)) found.add(player);
  });
  return found;
}

/** Interactions that pass the filters, the strongest first. */
export function listed({ rows, size, sign, certainty, strength, matches }) {
  const ofSize = {
    many: (row) => row.players.length > 1,
    one: (row) => row.players.length === 1,
    all: (row) => row.players.length > 0,
  }[size] ?? ((row) => row.players.length === Number(size));
  const some = rows.filter(
    (row) =>
      ofSize(row) &&
      !row.zero &&
      (certainty === "all" || row.finding) &&
      (sign === "all" || row.value > 0 === (sign === "plus")) &&
      (matches === null || row.players.some((player) => matches.has(player))),
  );
  some.sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const least = strength * Math.abs(some[0]?.value ?? 0);
  return some.filter((row) => Math.abs(row.value) >= least);
}
