import { extent } from "d3-array";
import { scaleLinear } from "d3-scale";
import { select } from "d3-selection";
import { measuredOf } from "./circuit.js";
import { button, h } from "./dom.js";
import { count, number, signed } from "./format.js";
import { maskKey, nearest, recordedMask } from "./model.js";
import { done, goneOf, inAll } from "./removal.js";
import { predict } from "./spectrum.js";

/** What the spectrum predicts for the players that are kept, and what the model said to that. */
export function createWhatIf(model, store) {
  const predicted = h("strong", { class: "big predicted", role: "status" });
  const change = h("span");
  const recorded = h("strong", { class: "big recorded" });
  const note = h("p", { class: "soft small note" });
  const removed = h("p", { class: "small" });
  const scale = h("div", { class: "scale" });
  const svg = select(scale).append("svg").attr("viewBox", "0 0 260 40").attr("aria-hidden", "true");
  const go = button("Show the nearest", () => {
    const { row } = nearest(model, store.get().mask);
    store.set({ mask: recordedMask(model, row) });
  });
  let next = 0;
  const step = button("Next recorded ablation", () => {
    const row = next++ % model.ablations.count;
    store.set({ mask: recordedMask(model, row) });
  });
  step.hidden = !model.ablations.count;
  const whole = new Uint8Array(model.n).fill(1);
  const everyone = [...model.players.keys()];

  store.on(["mask", "output", "answer", "asking"], ({ mask, output, answer, asking }) => {
    const value = predict(model, output, mask);
    const before = predict(model, output, whole);
    predicted.textContent = number(value);
    predicted.dataset.value = value;
    const gone = goneOf(mask);
    change.textContent = gone.length ? `${signed(value - before)} against the whole input (predicted ${number(before)})` : "";
    const found = nearest(model, mask);
    const key = maskKey(mask);
    const told = answer?.key === key ? answer.values[output] : null; // by the model, just now
    const actual = told ?? (found?.distance === 0 ? model.ablations.values[output][found.row] : measuredOf(model, mask, output));
    recorded.textContent = actual === null ? (asking === key ? "asking the model" : "not evaluated") : number(actual);
    recorded.classList.toggle("none", actual === null);
    recorded.dataset.value = actual ?? "";
    go.hidden = actual !== null || !found;
    if (actual !== null) note.textContent = `The prediction is off by ${signed(value - actual)}.`;
    else if (found) {
      note.textContent =
        `The nearest recorded ablation differs in ${count(found.distance)} ` +
        `${found.distance === 1 ? "player" : "players"}.`;
    } else note.textContent = "The page holds no recorded ablations.";
    removed.textContent = gone.length
      ? `${inAll(model, gone)}.`
      : `Nothing is ${done(model, everyone)}: this is the whole input.`;
    marks(svg, model.ablations.values[output], before, value, actual);
  });
  return h(
    "aside",
    { class: "whatif", "aria-label": "What if" },
    h("h2", {}, "What if"),
    removed,
    h(
      "dl",
      {},
      h("dt", {}, "Predicted by the spectrum"),
      h("dd", {}, predicted, h("div", { class: "soft small" }, change)),
      h("dt", {}, "Recorded by the model"),
      h("dd", {}, recorded, note),
    ),
    scale,
    h("p", { class: "controls buttons" }, go, step),
    model.ablations.count < model.ablations.total
      ? h("p", { class: "soft small" }, `This page holds ${count(model.ablations.count)} of the ${count(model.ablations.total)} recorded ablations.`)
      : null,
  );
}

function marks(svg, values, whole, predicted, actual) {
  const all = [...extent(values), whole, predicted].filter((value) => value !== undefined);
  const x = scaleLinear(extent(all), [9, 251]);
  svg.selectAll("line.track").data([0]).join("line").attr("class", "track").attr("x1", 6).attr("x2", 254).attr("y1", 14).attr("y2", 14);
  svg.selectAll("line.whole").data([whole]).join("line").attr("class", "whole").attr("x1", x).attr("x2", x).attr("y1", 5).attr("y2", 23);
  svg.selectAll("circle.actual").data(actual === null ? [] : [actual]).join("circle").attr("class", "actual").attr("cx", x).attr("cy", 14).attr("r", 7);
  svg.selectAll("circle.predicted").data([predicted]).join("circle").attr("class", "predicted").attr("cx", x).attr("cy", 14).attr("r", 4);
  svg
    .selectAll("text")
    .data(extent(all))
    .join("text")
    .attr("x", x)
    .attr("y", 36)
    .attr("text-anchor", (_, i) => (i ? "end" : "start"))
    .text((value) => number(value));
}
