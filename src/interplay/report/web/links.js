import { select } from "d3-selection";
import { curveBasis, line } from "d3-shape";

const BOW = [24, 42]; // the least and the most, in pixels, of which a basis curve reaches two thirds: no bow leaves its card
const BELOW = 4; // pixels from a word to the dot under it: in its middle the dot would hide it
const curve = line().curve(curveBasis);

/** A smooth arch from one point to another that rises to `top`. */
export function arch([x1, y1], [x2, y2], top) {
  return curve([[x1, y1], [x1 + (x2 - x1) * 0.1, top], [x2 - (x2 - x1) * 0.1, top], [x2, y2]]);
}

/** Consecutive pairs of a set, which stand for it in drawings. */
export function steps(players) {
  return players.slice(1).map((player, i) => [players[i], player]);
}

/** A bow from one point to another, to one side of the straight line or to the other. */
function bow([x1, y1], [x2, y2], side) {
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const lean = Math.min(Math.max(0.2 * length, BOW[0]), BOW[1]) * side / length;
  return curve([
    [x1, y1],
    [(x1 + x2) / 2 + lean * (y2 - y1), (y1 + y2) / 2 - lean * (x2 - x1)],
    [x2, y2],
  ]);
}

/**
 * Draws links between players' elements that have no words in them: bows from centre to centre, with
 * dots at the ends. A set is one path. Words beside a map have their dots, and the bows between them,
 * below them.
 *
 * @param {Element} content the lens; it is positioned, and the style gives the drawing its size, so
 *     that one made for another width is cut, and never makes the page wider.
 * @param {Element[][]} elements by player.
 * @param {Element|null} frame what the links cover, if it is a part of the content. They then
 *     stretch with it, so that they are in place on paper too, which is laid out without a script.
 * @returns {function({players: number[], value: number}[], number, boolean): void} draws rows; the
 *     largest value; whether they are pointed at.
 */
export function createLinks(content, elements, frame = null) {
  const svg = select(frame ?? content).insert("svg", ":first-child").attr("aria-hidden", "true");
  const at = (player, origin) => {
    const box = elements[player][0].getClientRects()[0] ?? origin;
    const x = box.left - origin.left;
    const y = box.top - origin.top;
    return [x + box.width / 2, y + (isWord(player) ? box.height + BELOW : box.height / 2)];
  };
  const isWord = (player) => elements[player][0].closest(".others") !== null;
  return (rows, largest, strong) => {
    svg.attr("class", `links over${strong ? " strong" : ""}`);
    const origin = (frame ? svg.node() : content).getBoundingClientRect();
    if (frame) svg.attr("viewBox", `0 0 ${origin.width} ${origin.height}`).attr("preserveAspectRatio", "none");
    const drawn = rows.map((row) => {
      const points = row.players.map((player) => at(player, origin));
      return {
        d: steps(points).map(([from, to], i) => {
          const words = isWord(row.players[i]) && isWord(row.players[i + 1]);
          const side = words ? Math.sign(from[0] - to[0]) || 1 : row.value >= 0 ? 1 : -1;
          return bow(from, to, side);
        }).join(""),
        ends: points,
        width: 1 + (3 * Math.abs(row.value)) / (largest || 1),
        kind: row.value >= 0 ? "plus" : "minus",
      };
    });
    svg
      .selectAll("path.link")
      .data(drawn)
      .join("path")
      .attr("d", (link) => link.d)
      .attr("stroke-width", (link) => link.width)
      .attr("class", (link) => `link ${link.kind}`);
    svg
      .selectAll("path.dot")
      .data(drawn.flatMap(({ ends, kind }) => ends.map(([x, y]) => ({ d: `M${x},${y}h0`, kind }))))
      .join("path")
      .attr("d", (dot) => dot.d)
      .attr("class", (dot) => `dot ${dot.kind}`);
  };
}
