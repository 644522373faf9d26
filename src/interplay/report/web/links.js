import { select } from "d3-selection";
import { curveBasis, line } from "d3-shape";

const BOW = 60; // pixels, of which a basis curve reaches two thirds
const curve = line().curve(curveBasis);

/** A smooth arch from one point to another that rises to `top`. */
export function arch([x1, y1], [x2, y2], top) {
  return curve([[x1, y1], [x1 + (x2 - x1) * 0.1, top], [x2 - (x2 - x1) * 0.1, top], [x2, y2]]);
}

/** Consecutive pairs of a set, which stand for it in drawings. */
export function steps(players) {
  return players.slice(1).map((player, i) => [players[i], player]);
}

/** A bow from one point to another, to one side of the straight line. */
function bow([x1, y1], [x2, y2]) {
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const lean = Math.min(0.2, BOW / length);
  return curve([
    [x1, y1],
    [(x1 + x2) / 2 + lean * (y2 - y1), (y1 + y2) / 2 - lean * (x2 - x1)],
    [x2, y2],
  ]);
}

/**
 * Draws links between players' elements: in a text arches over its lines, which stand behind the
 * words; between tiles and cells bows from centre to centre.
 *
 * @param {Element} content the lens; it is positioned.
 * @param {Element[][]} elements by player.
 * @param {boolean} flowing whether the players flow as text does.
 * @returns {function({players: number[], value: number}[], number, boolean): void} draws rows; the
 *     largest value; whether they are pointed at.
 */
export function createLinks(content, elements, flowing) {
  const svg = select(content).insert("svg", ":first-child").attr("aria-hidden", "true");
  const at = (player, origin) => {
    const box = elements[player][0].getClientRects()[0] ?? origin;
    const x = box.left - origin.left + content.scrollLeft;
    const y = box.top - origin.top + content.scrollTop;
    return flowing
      ? [x + Math.min(box.width / 2, 40), y + 1]
      : [x + box.width / 2, y + box.height / 2];
  };
  const path = (from, to) => {
    if (!flowing) return bow(from, to);
    const lift = Math.min(10 + Math.abs(to[0] - from[0]) * 0.08, 34);
    return arch(from, to, Math.min(from[1], to[1]) - lift);
  };
  return (rows, largest, strong) => {
    const origin = content.getBoundingClientRect();
    svg.attr("width", content.clientWidth).attr("height", content.scrollHeight);
    const drawn = rows.flatMap((row) =>
      steps(row.players.map((player) => at(player, origin))).map(([from, to]) => ({
        d: path(from, to),
        width: 1 + (3 * Math.abs(row.value)) / (largest || 1),
        plus: row.value >= 0,
      })),
    );
    svg
      .attr("class", `links ${flowing ? "behind" : "over"}${strong ? " strong" : ""}`)
      .selectAll("path")
      .data(drawn)
      .join("path")
      .attr("d", (link) => link.d)
      .attr("stroke-width", (link) => link.width)
      .attr("class", (link) => (link.plus ? "plus" : "minus"));
  };
}
