import { h, select } from "./dom.js";
import { judges } from "./verdict.js";

const SIZES = { many: "two or more players", one: "single players", all: "all sizes" };
const CERTAINTY = { findings: "distinguishable from zero", all: "all values" };
const SIGNS = { all: "both signs", plus: "positive", minus: "negative" };

/** Choices that the whole explanation follows: index, order, output. */
export function createChoices(model, store) {
  const state = store.get();
  const orders = Array.from({ length: model.orders }, (_, i) => [String(i + 1), String(i + 1)]);
  return h(
    "div",
    { class: "controls choices" },
    model.outputs.length > 1
      ? select("Output", model.outputs.map((name, i) => [String(i), name.trim() ? name : `output ${i}`]), String(state.output), (value) =>
          store.set({ output: Number(value), pinned: null }),
        )
      : null,
    select("Index", Object.keys(model.weights).map((name) => [name, name]), state.index, (index) =>
      store.set({ index, pinned: null }),
    ),
    select("Up to order", orders, String(state.order), (value) =>
      store.set({ order: Number(value), pinned: null }),
    ),
  );
}

/** Filters of the list of interactions. */
export function createFilters(model, store) {
  const state = store.get();
  const sizes = Object.entries(SIZES);
  for (let size = 2; size <= model.orders; size++) sizes.push([String(size), `exactly ${size} players`]);
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
    select("Show", sizes, state.size, (size) => store.set({ size })),
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
