import { max } from "d3-array";
import { scaleLinear } from "d3-scale";
import { select } from "d3-selection";
import { aboutRow } from "./about.js";
import { h } from "./dom.js";
import { arch, steps } from "./links.js";
import { hideTip, showTip } from "./tip.js";
import { full } from "./verdict.js";

const BINS = 240;
const ARCS = 60;
const HEIGHT = 110;
const STRIP = 14;

/** All players on one line, binned where they are many, with arcs for the interactions listed. */
export function createArcs(model, store) {
  const figure = h("div", { class: "arcs" });
  const svg = select(figure).append("svg").attr("role", "img");
  const strip = svg.append("g");
  const arcs = svg.append("g").attr("class", "links");
  const axis = svg.append("g").attr("class", "axis");

  const draw = (state) => {
    const { findings, listed, hover, pinned, top, index, output } = state;
    const effects = state.effects.map((effect, player) => (findings[player] ? effect : 0));
    const width = figure.clientWidth;
    if (!width) return;
    const x = scaleLinear([0, model.n], [1, width - 1]);
    const centre = (player) => x(player + 0.5);
    const shown = listed.filter((row) => row.players.length > 1).slice(0, Math.min(top, ARCS));
    svg
      .attr("height", HEIGHT + STRIP + 18)
      .attr("aria-label", `Players 0 to ${model.n - 1} on a line; arcs join those of the ${shown.length} strongest interactions listed`);
    const bins = binned(effects, Math.min(model.n, BINS, Math.floor(width / 2)));
    const largest = full(model, output, max(bins, (bin) => Math.abs(bin.value)) ?? 0);
    strip
      .selectAll("rect")
      .data(bins)
      .join("rect")
      .attr("x", (bin) => x(bin.from))
      .attr("width", (bin) => Math.max(x(bin.to) - x(bin.from) - (bins.length < 100 ? 1 : 0), 0.5))
      .attr("y", HEIGHT)
      .attr("height", STRIP)
      .attr("class", (bin) => (bin.value >= 0 ? "plus" : "minus"))
      .attr("fill-opacity", (bin) => 0.06 + (0.94 * Math.abs(bin.value)) / largest);
    const strength = full(model, output, max(shown, (row) => Math.abs(row.value)) ?? 0);
    const reach = (a, b) => HEIGHT - 8 - (HEIGHT - 14) * Math.sqrt(Math.abs(b - a) / model.n);
    const active = hover?.row ?? (hover ? null : pinned);
    arcs
      .selectAll("path")
      .data(
        shown.map((row) => ({
          row,
          d: steps(row.players).map(([a, b]) => arch([centre(a), HEIGHT - 1], [centre(b), HEIGHT - 1], reach(a, b))).join(""),
        })),
      )
      .join("path")
      .attr("d", (link) => link.d)
      .attr("class", ({ row }) => {
        const lit = active ? row === active : hover && row.players.includes(hover.player);
        return `${row.value >= 0 ? "plus" : "minus"}${lit ? " lit" : active || hover ? " dim" : ""}`;
      })
      .attr("stroke-width", ({ row }) => 1 + (3 * Math.abs(row.value)) / strength);
    axis
      .selectAll("text")
      .data(ticks(model.n, width))
      .join("text")
      .attr("x", centre)
      .attr("y", HEIGHT + STRIP + 13)
      .attr("text-anchor", (player) => (player === 0 && model.n > 30 ? "start" : "middle"))
      .text(String);
    figure.dataset.index = index;
  };
  arcs.on("pointerover", (event) => {
    const link = select(event.target).datum();
    if (!link) return;
    store.set({ hover: { row: link.row } });
    showTip(event.target, aboutRow(model, store.get(), link.row));
  });
  arcs.on("pointerout", () => {
    hideTip();
    store.set({ hover: null });
  });
  arcs.on("click", (event) => {
    const link = select(event.target).datum();
    if (link) store.set({ pinned: store.get().pinned === link.row ? null : link.row });
  });
  new ResizeObserver(() => draw(store.get())).observe(figure);
  store.on(["effects", "listed", "hover", "pinned", "top"], draw);
  return figure;
}

/** Neighbouring players together, each bin with the strongest of its effects. */
function binned(effects, count) {
  return Array.from({ length: count }, (_, bin) => {
    const from = Math.round((bin * effects.length) / count);
    const to = Math.round(((bin + 1) * effects.length) / count);
    let value = 0;
    for (let i = from; i < to; i++) if (Math.abs(effects[i]) > Math.abs(value)) value = effects[i];
    return { from, to, value };
  });
}

function ticks(n, width) {
  const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000].find((step) => (n / step) * 26 < width) ?? n;
  return Array.from({ length: Math.ceil(n / every) }, (_, i) => i * every);
}
