import { aboutPlayer, strongest } from "./about.js";
import { button, h } from "./dom.js";
import { capital, cut, number, signed } from "./format.js";
import { createLegend, scaleEnd } from "./legend.js";
import { createLinks } from "./links.js";
import { createBrackets } from "./margin.js";
import { examplesLens } from "./lenses/examples.js";
import { gridLens } from "./lenses/grid.js";
import { imageLens } from "./lenses/image.js";
import { textLens } from "./lenses/text.js";
import { tilesLens } from "./lenses/tiles.js";
import { act } from "./removal.js";
import { hideTip, showTip } from "./tip.js";

const LENSES = { text: textLens, grid: gridLens, tiles: tilesLens, examples: examplesLens, image: imageLens };
const FAINT = 5;
const ON_MAP = 10;
const OF_PLAYER = 5;
const LEAST = 0.1; // of the strongest: what is drawn of a player's interactions

/**
 * The players, shaded by their own effect, with links: point at one to read its values, click it
 * or press Space to remove it. On the map of components a click, or Enter, chooses one instead.
 */
export function createBoard(model, store) {
  const { content, elements, noun, labels = [], frame = null, selects = false } = LENSES[model.view.kind](model);
  const isText = model.view.kind === "text";
  const worded = content.matches(".cards"); // nothing is drawn across words
  const links = isText ? createBrackets(content, elements) : worded ? () => {} : createLinks(content, elements, frame);
  elements.forEach((own, player) =>
    own.forEach((element, i) => {
      element.dataset.player = player;
      if (i) return;
      element.setAttribute("role", "checkbox");
      element.setAttribute("tabindex", player ? -1 : 0);
    }),
  );
  content.setAttribute("role", "group");
  const acts = act(model) === "remove or swap" ? "removes, swaps" : `${act(model)}s`;
  const how = selects ? " Enter shows what it acts with;" : "";
  content.setAttribute("aria-label", `Players. Space ${acts} or restores a ${noun};${how} arrow keys move.`);
  const playerOf = (event) => {
    const element = event.target.closest?.("[data-player]");
    return element ? Number(element.dataset.player) : null;
  };
  const point = (player) => {
    const hover = store.get().hover;
    if (player === null ? hover?.player === undefined : hover?.player === player) return;
    store.set({ hover: player === null ? null : { player } });
    if (player === null) hideTip();
    else showTip(elements[player][0], aboutPlayer(model, store.get(), player));
  };
  const toggle = (player) => {
    const mask = store.get().mask.slice();
    mask[player] ^= 1;
    store.set({ mask });
    showTip(elements[player][0], aboutPlayer(model, store.get(), player));
  };
  const choose = (player) => store.set({ selected: store.get().selected === player ? null : player });
  let current = 0;
  const focus = (player) => {
    elements[current][0].setAttribute("tabindex", -1);
    current = player;
    elements[current][0].setAttribute("tabindex", 0);
  };
  const go = (player) => {
    focus(player);
    elements[player][0].focus();
  };
  for (const [event, run] of Object.entries({
    pointerover: (event) => point(playerOf(event)),
    pointerleave: () => point(null),
    focusin: (event) => {
      const player = playerOf(event);
      if (player === null) return;
      focus(player);
      point(player);
    },
    focusout: () => point(null),
    click: (event) => {
      const player = playerOf(event);
      if (player === null || String(getSelection())) return;
      focus(player);
      if (selects) choose(player);
      else toggle(player);
    },
    keydown: (event) => {
      const player = playerOf(event);
      if (player === null || event.ctrlKey || event.metaKey || event.altKey) return;
      const next = move(event.key, player, elements, selects);
      if (event.key === "Escape" && selects) store.set({ selected: null });
      else if (event.key === "Enter" && selects) choose(player);
      else if (event.key === " " || event.key === "Enter") toggle(player);
      else if (next === null) return;
      else go(next);
      event.preventDefault();
    },
  })) {
    content.addEventListener(event, run);
  }

  const legend = createLegend(model, store, noun, (state, unit) => {
    const { drawn: rows, selected } = state;
    if (!selects) return rows?.length && !worded ? `${isText ? "Brackets" : "Lines"}: the strongest of the interactions listed below.` : "";
    if (selected === null && !rows?.length) return "";
    const which = selected === null ? "the strongest of the interactions listed below, among what is kept" : `what ${cut(model.players[selected], 40)} acts with`;
    return `Arcs: ${which}; the widest stands for ${number(arcEnd(state))}${unit ? ` ${unit}` : ""}.`;
  });
  store.on(["effects"], ({ effects, findings, index, output }) => {
    const shaded = effects.map((effect, player) => (findings[player] ? Math.abs(effect) : 0));
    const most = scaleEnd(model, output, Math.max(...shaded));
    elements.forEach((own, player) =>
      own.forEach((element, i) => {
        element.style.setProperty("--a", ((0.6 * shaded[player]) / most).toFixed(3));
        element.classList.toggle("minus", effects[player] < 0);
        if (selects && !i) {
          const doubt = findings[player] ? "" : ", may be zero";
          element.setAttribute("aria-label", `${model.players[player]}, ${index} ${signed(effects[player])}${doubt}`);
        }
      }),
    );
  });
  store.on(["mask"], ({ mask }) =>
    elements.forEach((own, player) =>
      own.forEach((element) => {
        element.classList.toggle("removed", !mask[player]);
        element.classList.toggle("swaps", model.swapped.has(player));
        if (element.role) element.setAttribute("aria-checked", mask[player] ? "true" : "false");
      }),
    ),
  );

  const many = (row) => row.players.length > 1;
  const arcEnd = ({ rows, output }) =>
    scaleEnd(model, output, rows.reduce((most, row) => (many(row) && row.finding ? Math.max(most, Math.abs(row.value)) : most), 0));
  const faint = ({ listed, mask }) =>
    selects
      ? listed.filter((row) => many(row) && row.players.every((player) => mask[player])).slice(0, ON_MAP)
      : listed.filter(many).slice(0, FAINT);
  const drawn = ({ hover, pinned, rows, selected, drawn: usual }) => {
    if (hover?.row || (pinned && hover?.player === undefined)) return [[hover?.row ?? pinned].filter(many), true];
    const player = hover?.player ?? selected;
    if (player !== null && player !== undefined) {
      const own = rows.filter((row) => row.finding && many(row) && row.players.includes(player));
      const some = strongest(own, OF_PLAYER);
      return [some.filter((row) => Math.abs(row.value) >= LEAST * Math.abs(some[0].value)), true];
    }
    return [usual, false];
  };
  const draw = (state) => {
    const [rows, strong] = drawn(state);
    links(rows, arcEnd(state), strong);
    const { hover, selected } = state;
    const lit = new Set(strong ? rows.flatMap((row) => row.players) : []);
    for (const player of [hover?.player ?? selected, ...(hover?.row?.players ?? [])]) if (player != null) lit.add(player);
    const named = new Set([...lit].flatMap((player) => labels[player] ?? []));
    for (const label of axes) label.classList.toggle("lit", named.has(label));
    elements.forEach((own, player) =>
      own.forEach((element) => {
        element.classList.toggle("lit", lit.has(player));
        element.classList.toggle("selected", player === selected);
        if (element.role && selects) element.toggleAttribute("data-selected", player === selected);
      }),
    );
  };
  const axes = new Set(labels.flat());
  store.on(selects ? ["listed", "mask"] : ["listed"], (state) => store.set({ drawn: faint(state) }));
  const found = new Set();
  store.on(["matches"], ({ matches }) => {
    for (const player of found) elements[player].forEach((e) => e.classList.remove("found"));
    found.clear();
    for (const player of matches ?? []) {
      found.add(player);
      elements[player].forEach((e) => e.classList.add("found"));
    }
  });
  const root = h(
    "section",
    { class: "board" },
    h("h2", {}, model.view.title),
    h("div", { class: content.matches(".dense") ? "stage scrolls" : "stage" }, content),
    legend,
    h(
      "p",
      { class: "controls buttons" },
      button("Keep all", () => store.set({ mask: new Uint8Array(model.n).fill(1) })),
      button(`${capital(act(model))} all`, () => store.set({ mask: new Uint8Array(model.n) })),
      h(
        "span",
        { class: "soft" },
        selects
          ? `Click a ${noun}, or press Enter on it, to see what it acts with; Space ${acts.replace(",", " or")} it.`
          : `Click a ${noun}, or press Space on it, to ${act(model)} it.`,
      ),
    ),
  );
  new ResizeObserver(() => draw(store.get())).observe(content);
  store.on(["hover", "pinned", "drawn", "rows", "selected"], (state) => content.isConnected && draw(state));
  return root;
}

/**
 * The player that an arrow key leads to, or null for another key. In a map, left and right stay in
 * the row; elsewhere they follow the players' order.
 */
function move(key, player, elements, isMap) {
  const last = elements.length - 1;
  const direct = { Home: 0, End: last }[key];
  if (direct !== undefined) return direct;
  const sideways = { ArrowRight: 1, ArrowLeft: -1 }[key];
  if (sideways && !isMap) return Math.min(Math.max(player + sideways, 0), last);
  if (!sideways && key !== "ArrowUp" && key !== "ArrowDown") return null;
  const boxes = elements.map((own) => own[0].getBoundingClientRect());
  const here = boxes[player];
  const down = key === "ArrowDown";
  let best = player;
  let least = Infinity;
  boxes.forEach((box, other) => {
    if (sideways) {
      const beside = sideways * (box.left - here.left);
      if (beside > 4 && beside < least && Math.abs(box.top - here.top) < 4) [best, least] = [other, beside];
      return;
    }
    const below = down ? box.top - here.top : here.top - box.top;
    if (below < 4) return;
    const distance = below * 10 + Math.abs(box.left - here.left);
    if (distance < least) [best, least] = [other, distance];
  });
  return best;
}
