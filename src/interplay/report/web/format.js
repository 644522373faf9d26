import { format } from "d3-format";

/** A number with four digits, in powers of ten where Python would. */
export const number = (value) => (tiny(value) ? format(".3~e") : format(".4~g"))(value);
export const signed = (value) => (tiny(value) ? format("+.3~e") : format("+.4~g"))(value);
const tiny = (value) => value !== 0 && Math.abs(value) < 1e-4;

export const count = format(",d");
export const percent = format(".1%");

/** "+0.62 to +0.71" */
export function interval(value, half) {
  return `${signed(value - half)} to ${signed(value + half)}`;
}

/** A text with its first letter as a capital. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A text cut to at most `length` characters. */
export function cut(text, length) {
  const points = Array.from(text.length > 4 * length ? text.slice(0, 4 * length) : text);
  return points.length > length ? points.slice(0, length - 1).join("") + "…" : text;
}
