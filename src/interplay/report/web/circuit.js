import { h } from "./dom.js";
import { count, number } from "./format.js";
import { predict } from "./spectrum.js";

/** Whether any of the values `(c, k)` is known. */
export const known = (values) => values.some((row) => row.some((value) => value !== null));

/** The measured scores of the whole model and of nothing, or null. */
export function endsOf(model, output) {
  const [whole, nothing] = (model.circuits.ends ?? [[], []]).map((values) => values[output] ?? null);
  return whole === null || nothing === null ? null : { whole, nothing };
}

/** The measured score of the players in `mask`, if a circuit has just these, or null. */
export function measuredOf(model, mask, output) {
  for (const one of model.circuits?.series ?? []) {
    const row = one.kept.findIndex((kept, at) => (one.measured[at][output] ?? null) !== null && kept.every((is, player) => is === mask[player]));
    if (row >= 0) return one.measured[row][output];
  }
  return null;
}

/** Everything that is known of one circuit under one output. */
export function point(model, one, row, output) {
  const predicted = predict(model, output, one.kept[row]);
  const ends = endsOf(model, output);
  const share = (value, between) => {
    const { whole, nothing } = between ?? {};
    return between && value !== null && whole !== null && nothing !== null && whole !== nothing
      ? (value - nothing) / (whole - nothing)
      : null;
  };
  const measured = one.measured[row][output];
  return {
    row,
    size: one.sizes[row],
    predicted,
    measured,
    error: one.errors?.[row][output] ?? null,
    test: one.test[row][output],
    low: one.low[row][output],
    high: one.high[row][output],
    share: share(measured ?? predicted, ends),
    testShare: share(one.test[row][output], { whole: one.whole[output], nothing: one.nothing[output] }),
    outside: one.sizes[row] !== 0 && one.sizes[row] !== model.n && (one.sizes[row] < model.circuits.low || one.sizes[row] > model.circuits.high),
  };
}

/** What is known of a circuit, in words; `now` is null where the map shows none. */
export function said(model, { output, series }, now) {
  if (!now) return ["The map shows another choice. Step to a size to see its circuit."];
  const unit = model.units[output] ? ` ${model.units[output]}` : "";
  const whole = model.circuits.series[series].whole[output];
  const faithful = now.share === null ? "" : `, faithfulness f = ${now.share.toFixed(2)}`;
  const parts = [h("strong", {}, `${count(now.size)} of ${count(model.n)} kept. `)];
  if (now.measured !== null) parts.push(`Measured ${number(now.measured)}${unit}${faithful} (${number(now.predicted)} predicted by this explanation). `);
  else {
    parts.push(`Predicted ${number(now.predicted)}${unit}${faithful}; not measured. `);
    if (now.error !== null && now.test === null) parts.push(`Random masks of about this size are predicted with an error of ${number(now.error)}. `);
  }
  if (now.test !== null && now.size < model.n) {
    const range = now.low === null ? "" : ` (${number(now.low)} to ${number(now.high)})`;
    const ofTest = now.testShare === null ? "" : `, f = ${now.testShare.toFixed(2)}`;
    parts.push(`On other items ${number(now.test)}${range}${ofTest}${whole === null ? "" : `, where the whole model has ${number(whole)}`}. `);
  }
  if (now.outside) parts.push(h("strong", {}, "The run has no masks of this size: the prediction is extrapolated."));
  return parts;
}
