import { chips, strongest } from "./about.js";
import { button, h } from "./dom.js";
import { capital, count, interval, signed } from "./format.js";
import { doubtOf } from "./legend.js";
import { act } from "./removal.js";
import { predict } from "./spectrum.js";
import { judges } from "./verdict.js";

const TOP = 3;
const OF_PLAYER = 8;

/** The component that was chosen on the map and what it acts with; the strongest of all before. */
export function createPartners(model, store) {
  const panel = h("section", { class: "partners", "aria-live": "polite", "aria-label": "What acts with what" });
  const draw = (state) => {
    const said = state.selected === null ? overall(model, state, store) : ofPlayer(model, state, store);
    panel.replaceChildren(...said.filter((child) => child !== null));
  };
  store.on(["rows", "selected", "mask"], draw);
  return panel;
}

function overall(model, { rows }, store) {
  const findings = rows.filter((row) => row.finding);
  const alone = strongest(findings.filter((row) => row.players.length === 1), TOP);
  const together = strongest(findings.filter((row) => row.players.length > 1), TOP);
  return [
    h("h2", {}, "Strongest alone"),
    list(model, alone, store, (row) => row.players),
    h("h2", {}, "Strongest together"),
    list(model, together, store, (row) => row.players),
    judges(model) ? null : h("p", { class: "soft small" }, doubtOf(model)),
    h("p", { class: "soft small hint" }, "Choose a component on the map to see what it acts with."),
  ];
}

function ofPlayer(model, state, store) {
  const { rows, selected, index, output, mask } = state;
  const own = rows.filter((row) => row.players.includes(selected) && !row.zero);
  const alone = own.find((row) => row.players.length === 1);
  const together = own.filter((row) => row.players.length > 1);
  const findings = strongest(together.filter((row) => row.finding), Infinity);
  const unsure = together.length - findings.length;
  const toggle = () => {
    const next = mask.slice();
    next[selected] ^= 1;
    store.set({ mask: next });
  };
  const other = mask.slice();
  other[selected] ^= 1;
  const change = (predict(model, output, other) - predict(model, output, mask)) * (mask[selected] ? 1 : -1);
  const unit = model.units[output];
  const more = findings.length - OF_PLAYER;
  return [
    h("h2", {}, chips(model, [selected])),
    h(
      "p",
      {},
      h("strong", {}, `${index} ${alone ? signed(alone.value) : "0"}`),
      unit ? ` ${unit}` : "",
      !alone || alone.half === null ? "" : ` (${interval(alone.value, alone.half)})`,
      alone?.finding ? "" : " · may be zero",
    ),
    h("p", { class: "small" }, `${act(model, [selected]) === "swap" ? "Swapping" : "Removing"} it ${mask.every((kept, i) => kept || i === selected) ? (act(model, [selected]) === "swap" ? "in the whole input" : "from the whole model") : "here"}: ${signed(change)}${unit ? ` ${unit}` : ""}, predicted.`),
    h("h3", {}, "Acts with"),
    list(model, findings.slice(0, OF_PLAYER), store, (row) => row.players.filter((player) => player !== selected)),
    h(
      "p",
      { class: "soft small" },
      [
        more > 0 ? `${count(more)} more findings.` : "",
        judges(model) ? "" : doubtOf(model),
        unsure ? `${count(unsure)} ${findings.length ? "more " : ""}not distinguishable from zero.` : "",
      ].filter(Boolean).join(" "),
    ),
    h("p", { class: "controls buttons" }, button(mask[selected] ? capital(`${act(model, [selected])} it`) : "Restore it", toggle), button("Close", () => store.set({ selected: null }))),
  ];
}

/** Rows as lines; pointing at one shows it on the map, a click keeps it there. */
function list(model, rows, store, players) {
  if (!rows.length) return h("p", { class: "soft" }, "None is distinguishable from zero.");
  return h(
    "ul",
    { class: "plain" },
    ...rows.map((row) =>
      h(
        "li",
        {
          on: {
            pointerenter: () => store.set({ hover: { row } }),
            pointerleave: () => store.set({ hover: null }),
          },
        },
        chips(model, players(row)),
        h("span", { class: row.value >= 0 ? "value plus" : "value minus" }, signed(row.value)),
        row.half === null ? null : h("span", { class: "soft small range" }, interval(row.value, row.half)),
      ),
    ),
  );
}
