import { extent } from "d3-array";
import { scaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import { endsOf, said } from "./circuit.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { hideTip, showTip } from "./tip.js";

const HEIGHT = 220;
const LEFT = 46; // page.css insets the slider so that its thumb stands above the size on this axis
const RIGHT = 84;
const TOP = 20;
const BOTTOM = 34;
const NEAR = 0.05; // of the players: a line joins nothing to a circuit no larger than this

/** Draws the score of a series of circuits by their size, over all ablations of the run. */
export function drawCircuits(model, svg, width, { state, one, rows, sizes, go }) {
  if (!width) return;
  const { output } = state;
  const { low, high } = model.circuits;
  const ends = endsOf(model, output);
  const recorded = model.ablations.values[output];
  const whole = one.whole[output];
  const numbers = rows.flatMap((row) => [row.predicted, row.measured, row.test, row.low, row.high]);
  const [least, most] = extent([...numbers, ...recorded, ...(ends ? [ends.whole, ends.nothing] : [])].filter((value) => value !== null));
  const x = scaleLinear([0, model.n], [LEFT, width - RIGHT]);
  const y = scaleLinear([least, most === least ? least + 1 : most], [HEIGHT - BOTTOM, TOP]).nice(4);
  svg.attr("height", HEIGHT);
  svg.attr("aria-label", `Score of ${one.name} by the number of components kept; grey dots are the ablations of the run`);
  svg.selectAll("*").remove();
  const add = (name, attributes, text) => {
    const element = svg.append(name);
    for (const [key, value] of Object.entries(attributes)) element.attr(key, value);
    if (text !== undefined) element.text(text);
    return element;
  };
  for (const [from, to] of [[0, low], [high, model.n]]) {
    if (low <= high && to - from > 0.02 * model.n) {
      add("rect", { class: "outside", x: x(from), width: x(to) - x(from), y: TOP, height: HEIGHT - TOP - BOTTOM });
    }
  }
  add("text", { x: 2, y: 11 }, model.units[output] || "score");
  for (const tick of y.ticks(4)) {
    add("line", { class: "tick", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) });
    add("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, number(tick));
  }
  for (const tick of x.ticks(Math.min(10, Math.floor(width / 60))).filter(Number.isInteger)) add("text", { x: x(tick), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, String(tick));
  add("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "components kept");
  if (ends) {
    for (const [value, text] of [[ends.whole, "whole, f = 1"], [ends.nothing, "nothing, f = 0"]]) {
      add("line", { class: "end", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) });
      add("text", { x: width - RIGHT + 6, y: y(value) + 4 }, text);
    }
  }
  // between nothing and a first circuit of many players no circuit was looked for
  const joined = (all) => (all.length > 1 && !all[0].size && all[1].size > Math.max(1, NEAR * model.n) ? all.slice(1) : all);
  sizes.forEach((size, row) => add("circle", { class: "random", cx: x(size), cy: y(recorded[row]), r: 1.8 }));
  if (one.errors) {
    const band = area().x((row) => x(row.size)).y0((row) => y(row.predicted - row.error)).y1((row) => y(row.predicted + row.error));
    add("path", { class: "band", d: band(joined(rows)) });
  }
  const curve = line().x((row) => x(row.size));
  add("path", { class: "predicted", d: curve.y((row) => y(row.predicted))(joined(rows)) });
  const measured = joined(rows.filter((row) => row.measured !== null));
  if (measured.length > 2) add("path", { class: "measured", d: curve.y((row) => y(row.measured))(measured) });
  const other = rows.filter((row) => row.test !== null && row.size < model.n);
  if (other.length > 2 && other.every((row) => row.low === null)) add("path", { class: "of-others", d: curve.y((row) => y(row.test))(other) });
  for (const row of other) {
    if (row.low !== null) add("line", { class: "span", x1: x(row.size) + 5, x2: x(row.size) + 5, y1: y(row.low), y2: y(row.high) });
    add("rect", { class: "test", x: x(row.size) + 2, y: y(row.test) - 3, width: 6, height: 6 });
  }
  if (whole !== null) add("line", { class: "end of-test", x1: LEFT, x2: width - RIGHT, y1: y(whole), y2: y(whole) });
  for (const row of rows) {
    const is = state.circuit === row.row;
    if (is) add("line", { class: "now", x1: x(row.size), x2: x(row.size), y1: TOP, y2: HEIGHT - BOTTOM });
    add("circle", { class: row.measured === null ? "guess" : "fact", cx: x(row.size), cy: y(row.measured ?? row.predicted), r: is ? 5.5 : 3.5, "data-size": row.size })
      .on("pointerover", (event) => showTip(event.target, [h("p", {}, ...said(model, state, row))]))
      .on("pointerout", hideTip)
      .on("click", () => go(row.row));
  }
}
