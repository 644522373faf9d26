import { format } from "d3-format";

/** A signed number with four digits, as in the tables. */
export const signed = format("+.4~g");
export const number = format(".4~g");
export const count = format(",d");
export const percent = format(".1%");

/** "+0.62 to +0.71" */
export function interval(value, half) {
  return `${signed(value - half)} to ${signed(value + half)}`;
}

/** A text cut to at most `length` characters. */
export function cut(text, length) {
  const points = Array.from(text.length > 4 * length ? text.slice(0, 4 * length) : text);
  return points.length > length ? points.slice(0, length - 1).join("") + "…" : text;
}
