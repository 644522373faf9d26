import { interactions } from "./spectrum.js";

/**
 * The interactions of an output, and which of them are findings, by the rule of `Verdict.findings`
 * in Python: the interval does not contain zero, the value is no numerical zero, and the output is
 * predicted better than by its mean. The mean over outputs has no intervals: of it a set is a
 * finding if it is one of some output.
 */
export function judged(model, index, order, output) {
  const rows = interactions(model, index, order, output);
  const { ranges, trusted, rounding } = model.verdict;
  const least = rounding * ranges[output];
  const sure = isMean(model, output) ? inSomeOutput(model, index, order) : null;
  for (const row of rows) {
    const size = Math.abs(row.value);
    row.zero = size <= least;
    const away = sure ? sure.has(row.players.join()) : row.half === null || size > row.half;
    row.finding = trusted[output] && !row.zero && away;
  }
  return rows;
}

/** Whether an output is the mean over all others. */
export function isMean(model, output) {
  return model.mean && output === model.outputs.length - 1;
}

function inSomeOutput(model, index, order) {
  const sure = new Set();
  for (let output = 0; output < model.outputs.length - 1; output++) {
    for (const row of judged(model, index, order, output)) {
      if (row.finding) sure.add(row.players.join());
    }
  }
  return sure;
}

/** The effect that is drawn in full: the largest, or a share of the output's range if that is more. */
export function full(model, output, largest) {
  return Math.max(largest, model.verdict.floor * model.verdict.ranges[output]) || 1;
}

/** Whether anything tells findings from the rest: intervals, or a score that denies all. */
export function judges(model) {
  return Object.keys(model.halves).length > 0 || model.verdict.trusted.includes(false);
}
