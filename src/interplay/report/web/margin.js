import { select } from "d3-selection";

const LANE = 9; // pixels between two brackets
const BEND = 6;
const MARK = 26; // the longest mark under a segment

/**
 * Draws sets of segments beside a text, never through it: a bracket in the margin joins the lines
 * that a set's segments begin on, one under the line joins segments of one line. Brackets that
 * overlap stand side by side.
 *
 * @param {Element} content the lens; it is positioned, and its padding is the margin.
 * @param {Element[][]} elements by player.
 * @returns {function({players: number[], value: number}[], number, boolean): void} as createLinks.
 */
export function createBrackets(content, elements) {
  const svg = select(content).insert("svg", ":first-child").attr("aria-hidden", "true");
  const boxOf = (player, origin) => {
    const box = elements[player][0].getClientRects()[0] ?? origin;
    const x = box.left - origin.left;
    const y = box.top - origin.top;
    return { x, width: box.width, middle: y + box.height / 2, bottom: y + box.height };
  };
  return (rows, largest, strong) => {
    const origin = content.getBoundingClientRect();
    const edge = parseFloat(getComputedStyle(content).paddingLeft) - 5;
    svg.attr("class", `links margin${strong ? " strong" : ""}`);
    const sets = rows.map((row) => {
      const boxes = row.players.map((player) => boxOf(player, origin)).sort((a, b) => a.middle - b.middle || a.x - b.x);
      const [first, last] = [boxes[0], boxes[boxes.length - 1]];
      return { row, boxes, first, last, flat: last.middle - first.middle < 4 };
    });
    const most = Math.max(1, Math.floor((edge - 4) / LANE));
    const aside = lanes(sets.filter((set) => !set.flat), (set) => [set.first.middle, set.last.middle], most);
    const below = lanes(sets.filter((set) => set.flat), (set) => [set.first.middle * 1e4 + set.first.x, set.last.middle * 1e4 + set.last.x], 3);
    svg
      .selectAll("path.link")
      .data(sets)
      .join("path")
      .attr("d", (set) => (set.flat ? under(set, below.get(set)) : beside(set, edge, edge - 3 - LANE * (1 + aside.get(set)))))
      .attr("stroke-width", ({ row }) => 1.25 + (2.25 * Math.abs(row.value)) / (largest || 1))
      .attr("class", ({ row }) => `link ${row.value >= 0 ? "plus" : "minus"}`);
  };
}

/** A lane for each set, so that those that overlap have different ones, short ones the inner. */
function lanes(sets, ends, most) {
  const taken = [];
  const chosen = new Map();
  const length = (set) => ends(set)[1] - ends(set)[0];
  for (const set of [...sets].sort((a, b) => length(a) - length(b))) {
    const [low, high] = ends(set);
    let lane = 0;
    while (lane < most - 1 && taken.some((one) => one.lane === lane && one.low <= high && low <= one.high)) lane++;
    taken.push({ lane, low, high });
    chosen.set(set, lane);
  }
  return chosen;
}

/** A bracket in the margin, with a spur for each segment between, and a mark under each. */
function beside({ boxes, first, last }, edge, lane) {
  const bend = Math.min(BEND, (last.middle - first.middle) / 2);
  const spurs = boxes.slice(1, -1).map((box) => `M${lane},${box.middle}H${edge}`);
  const marks = boxes.map((box) => `M${box.x + 2},${box.bottom + 1}h${Math.min(box.width - 4, MARK)}`);
  const bracket =
    `M${edge},${first.middle}H${lane + bend}Q${lane},${first.middle} ${lane},${first.middle + bend}` +
    `V${last.middle - bend}Q${lane},${last.middle} ${lane + bend},${last.middle}H${edge}`;
  return [bracket, ...spurs, ...marks].join("");
}

/** A bracket under a line, with a foot for each segment. */
function under({ boxes, first, last }, lane) {
  const at = (box) => box.x + Math.min(box.width, MARK) / 2;
  const y = first.bottom + 3 + 3 * lane;
  return [`M${at(first)},${y}H${at(last)}`, ...boxes.map((box) => `M${at(box)},${y}V${box.bottom}`)].join("");
}
