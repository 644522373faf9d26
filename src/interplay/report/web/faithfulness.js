import { extent, sum } from "d3-array";
import { scaleLinear } from "d3-scale";
import { select } from "d3-selection";
import { h } from "./dom.js";
import { number, percent, signed } from "./format.js";
import { recordedMask } from "./model.js";
import { energyByOrder, predict } from "./spectrum.js";
import { hideTip, showTip } from "./tip.js";

const DOTS = 500;
const SIZE = 280;
const LEFT = 46;
const BOTTOM = 36;

/** Predicted against actual on the masks that the explanation was judged on. */
export function createScatter(model, store) {
  const figure = h("div", { class: "scatter" });
  const svg = select(figure)
    .append("svg")
    .attr("viewBox", `0 0 ${SIZE + LEFT + 8} ${SIZE + BOTTOM + 8}`)
    .attr("role", "img")
    .attr("aria-label", "Predicted against actual score; click a dot to show its ablation above");
  const plot = svg.append("g").attr("transform", `translate(${LEFT}, 8)`);
  plot.append("rect").attr("width", SIZE).attr("height", SIZE);
  plot.append("line").attr("class", "diagonal").attr("x1", 0).attr("y1", SIZE).attr("x2", SIZE).attr("y2", 0);
  const axes = plot.append("g").attr("class", "axis");
  const dots = plot.append("g");
  plot.append("text").attr("class", "title").attr("x", SIZE / 2).attr("y", SIZE + 32).attr("text-anchor", "middle").text("actual");
  plot.append("text").attr("class", "title").attr("transform", `translate(-36, ${SIZE / 2}) rotate(-90)`).attr("text-anchor", "middle").text("predicted");
  const error = h("p", { class: "soft small" });
  const held = model.ablations.held;
  const every = Math.max(1, Math.ceil(held / DOTS));

  store.on(["output"], ({ output }) => {
    const { values, predicted } = model.ablations;
    const actual = values[output];
    const all = Array.from({ length: held }, (_, row) => ({
      row,
      actual: actual[row],
      // of the fit without the held-out masks, where the spectrum was fitted to these too
      predicted: predicted ? predicted[output][row] : predict(model, output, recordedMask(model, row)),
    }));
    const [low, high] = extent(all.flatMap((dot) => [dot.actual, dot.predicted]));
    const scale = scaleLinear([low ?? 0, high === low ? (low ?? 0) + 1 : high], [0, SIZE]);
    const ticks = scale.ticks(4);
    axes.selectAll("text.x").data(ticks).join("text").attr("class", "x").attr("x", scale).attr("y", SIZE + 15).attr("text-anchor", "middle").text((tick) => number(tick));
    axes.selectAll("text.y").data(ticks).join("text").attr("class", "y").attr("x", -6).attr("y", (tick) => SIZE - scale(tick) + 4).attr("text-anchor", "end").text((tick) => number(tick));
    dots
      .selectAll("circle")
      .data(all.filter((_, i) => i % every === 0))
      .join("circle")
      .attr("cx", (dot) => scale(dot.actual))
      .attr("cy", (dot) => SIZE - scale(dot.predicted))
      .attr("r", 3)
      .attr("data-actual", (dot) => dot.actual)
      .attr("data-predicted", (dot) => dot.predicted)
      .on("pointerover", (event, dot) => showTip(event.target, about(dot)))
      .on("pointerout", hideTip)
      .on("click", (_, dot) => store.set({ mask: recordedMask(model, dot.row) }));
    const off = Math.sqrt(sum(all, (dot) => (dot.predicted - dot.actual) ** 2) / (held || 1));
    error.textContent = held
      ? `${held} ${model.ablations.exact ? "masks" : "held-out masks"}${every > 1 ? `, every ${every}th drawn` : ""}. ` +
        `Predictions are off by ${number(off)} (root mean square).`
      : "The page holds no masks to judge by.";
    error.dataset.error = off;
  });
  return h("div", {}, h("h2", {}, "Predicted against actual"), figure, error);
}

function about(dot) {
  return [
    h("p", {}, `Predicted ${number(dot.predicted)}, actual ${number(dot.actual)} (off by ${signed(dot.predicted - dot.actual)})`),
    h("p", { class: "soft" }, "Click to show this ablation."),
  ];
}

/** How much of the variation each order carries. */
export function createEnergy(model, store) {
  const body = h("tbody");
  store.on(["output"], ({ output }) => {
    const energy = (model.energy?.[output] ?? energyByOrder(model, output)).slice(1);
    const total = sum(energy);
    body.replaceChildren(
      ...energy.map((part, i) => {
        const share = total ? part / total : 0;
        const fill = h("i", { class: share < 0 ? "fill minus" : "fill plus" });
        fill.style.width = percent(Math.min(Math.abs(share), 1));
        return h(
          "tr",
          { "data-share": share },
          h("th", { scope: "row" }, i ? `${i + 1} players` : "single players"),
          h("td", { class: "value" }, percent(share)),
          h("td", { class: "bar" }, h("div", { class: "bar from-left" }, fill)),
        );
      }),
    );
    if (!total) body.replaceChildren(h("tr", {}, h("td", { class: "soft" }, "The score does not vary.")));
  });
  return h(
    "div",
    {},
    h("h2", {}, "Variation by order"),
    h("table", { class: "rows energy" }, body),
    h("p", { class: "soft small" }, `The share of the score's variation over masks ${model.measure.description} that sets of so many players carry, by the spectrum.`),
  );
}
