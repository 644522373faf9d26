import { count } from "./format.js";

/** R2 on held-out ablations by their number, with its intervals. */
export function drawCurve(curve) {
  const known = curve.filter(({ r2 }) => r2 !== null);
  if (!known.length) return null;
  const svg = (tag, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };
  const most = Math.max(...known.map(({ ablations }) => ablations));
  const x = (ablations) => 34 + (270 * ablations) / most;
  const y = (r2) => 80 - 70 * Math.max(0, Math.min(1, r2));
  const said = known.map(({ ablations, r2 }) => `${r2.toFixed(2)} with ${count(ablations)}`).join(", ");
  const root = svg("svg", { viewBox: "0 0 360 100", class: "curve", role: "img", "aria-label": `R2 by ablations: ${said}` });
  for (const [value, label] of [[0, "0"], [1, "R2 1"]]) {
    root.append(svg("line", { x1: 34, x2: 340, y1: y(value), y2: y(value) }), svg("text", { x: 30, y: y(value) + 4, "text-anchor": "end" }, label));
  }
  root.append(svg("polyline", { points: known.map(({ ablations, r2 }) => `${x(ablations)},${y(r2)}`).join(" ") }));
  for (const { ablations, r2, low, high } of known) {
    root.append(
      svg("line", { class: "range", x1: x(ablations), x2: x(ablations), y1: y(low), y2: y(high) }),
      svg("circle", { cx: x(ablations), cy: y(r2), r: 4 }),
      svg("text", { x: x(ablations), y: 96, "text-anchor": "middle" }, count(ablations)),
    );
  }
  const { ablations, r2 } = known.at(-1);
  root.append(svg("text", { x: x(ablations) + 8, y: y(r2) + 4 }, r2.toFixed(2)));
  return root;
}
