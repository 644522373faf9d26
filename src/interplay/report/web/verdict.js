/**
 * Marks which rows are findings, by the rule of `Verdict.findings` in Python: the interval does not
 * contain zero, the value is no numerical zero, and the output is predicted better than by its mean.
 */
export function judged(model, output, rows) {
  const { ranges, trusted, rounding } = model.verdict;
  const least = rounding * ranges[output];
  for (const row of rows) {
    const size = Math.abs(row.value);
    row.zero = size <= least;
    row.finding = trusted[output] && !row.zero && (row.half === null || size > row.half);
  }
  return rows;
}

/** The effect that is drawn in full: the largest, or a share of the output's range if that is more. */
export function full(model, output, largest) {
  return Math.max(largest, model.verdict.floor * model.verdict.ranges[output]) || 1;
}

/** Whether anything tells findings from the rest: intervals, or a score that denies all. */
export function judges(model) {
  return Object.keys(model.halves).length > 0 || model.verdict.trusted.includes(false);
}
