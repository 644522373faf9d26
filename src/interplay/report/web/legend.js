import { h } from "./dom.js";
import { number } from "./format.js";
import { full, isMean, judges } from "./verdict.js";

const STEPS = [1, 1.5, 2, 3, 5, 7, 10];

/**
 * The effect that is drawn in full: a round number from the largest effect, or a tenth of the
 * output's range, on. Explanations of much the same effects then have the same colours.
 */
export function scaleEnd(model, output, largest) {
  const least = full(model, output, largest);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = STEPS.find((one) => one * power >= least * (1 - 1e-9)) ?? 10;
  return Number((step * power).toPrecision(2));
}

/** What the colours of players and of links mean, in numbers. */
export function createLegend(model, store, noun, links) {
  const legend = h("div", { class: "legend soft" });
  store.on(["effects", "drawn", "selected"], (state) => {
    const { effects, findings, index, output } = state;
    if (!model.verdict.trusted[output]) {
      legend.textContent = model.verdict.ranges[output]
        ? "Nothing is shaded: it is not shown that this is predicted better than by the mean of the ablations."
        : "Nothing is shaded: this is the same on all ablations.";
      return;
    }
    const shaded = effects.map((effect, player) => (findings[player] ? Math.abs(effect) : 0));
    const end = scaleEnd(model, output, Math.max(...shaded));
    const unit = model.units[output];
    const [plus, minus] = index === "Fourier" ? ["positive", "negative"] : model.directions[output];
    const left = shaded.filter((size) => !size).length;
    legend.replaceChildren(
      h(
        "div",
        { class: "ramp", role: "img", "aria-label": `Colours from ${number(-end)} to ${number(end)}` },
        h("span", {}, `${index} of each ${noun} alone${unit ? `, ${unit}` : ""}`),
        h("span", { class: "bar" }),
        h("span", { class: "ticks" }, ...[`${number(-end)} ${minus}`, "0", `${plus} ${number(end)}`].map((tick) => h("span", {}, tick))),
      ),
      h("p", {}, judges(model) ? unshaded(left, model.n, isMean(model, output)) : doubtOf(model), " ", links(state, unit)),
    );
  });
  return legend;
}

/** What is known of values without intervals. */
export function doubtOf(model) {
  return model.ablations.exact
    ? "All masks were evaluated, so that the values are exact."
    : "There are no intervals, so that nothing says which of the values may be zero.";
}

function unshaded(left, n, isMean) {
  const where = isMean ? " at some output; their mean has no interval" : "";
  if (!left) return `All are distinguishable from zero${where}.`;
  return `No colour: not distinguishable from zero${isMean ? " at any output" : ""} (${left} of ${n}).`;
}
