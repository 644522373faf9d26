import { select } from "d3-selection";
import { curveBasis, line } from "d3-shape";

const curve = line().curve(curveBasis);

/** A smooth arch from one point to another that rises to `top`. */
export function arch([x1, y1], [x2, y2], top) {
  return curve([[x1, y1], [x1 + (x2 - x1) * 0.1, top], [x2 - (x2 - x1) * 0.1, top], [x2, y2]]);
}

/** Consecutive pairs of a set, which stand for it in drawings. */
export function steps(players) {
  return players.slice(1).map((player, i) => [players[i], player]);
}

/**
 * Draws links between players' elements over a lens, from the top of each.
 *
 * @param {Element} content the lens; it is positioned.
 * @param {Element[][]} elements by player.
 * @returns {function({players: number[], value: number}[], number, boolean): void} draws rows; the
 *     largest value; whether they are pointed at.
 */
export function createLinks(content, elements) {
  const svg = select(content).append("svg").attr("class", "links").attr("aria-hidden", "true");
  const at = (player, origin) => {
    const box = elements[player][0].getClientRects()[0] ?? origin;
    const x = box.left - origin.left + content.scrollLeft + Math.min(box.width / 2, 40);
    return [x, box.top - origin.top + content.scrollTop + 1];
  };
  return (rows, largest, strong) => {
    const origin = content.getBoundingClientRect();
    svg.attr("width", content.clientWidth).attr("height", content.scrollHeight);
    const drawn = rows.flatMap((row) => {
      const points = row.players.map((player) => at(player, origin));
      const width = 1 + (3 * Math.abs(row.value)) / (largest || 1);
      return steps(points).map(([from, to]) => {
        const lift = Math.min(10 + Math.abs(to[0] - from[0]) * 0.08, 34);
        return { d: arch(from, to, Math.min(from[1], to[1]) - lift), width, plus: row.value >= 0 };
      });
    });
    svg
      .classed("strong", strong)
      .selectAll("path")
      .data(drawn)
      .join("path")
      .attr("d", (link) => link.d)
      .attr("stroke-width", (link) => link.width)
      .attr("class", (link) => (link.plus ? "plus" : "minus"));
  };
}
