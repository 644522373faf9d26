import { aboutPlayer, strongest } from "./about.js";
import { button, h } from "./dom.js";
import { createLinks } from "./links.js";
import { gridLens } from "./lenses/grid.js";
import { textLens } from "./lenses/text.js";
import { tilesLens } from "./lenses/tiles.js";
import { hideTip, showTip } from "./tip.js";
import { full, judges } from "./verdict.js";

const LENSES = { text: textLens, grid: gridLens, tiles: tilesLens };
const FAINT = 5;
const OF_PLAYER = 5;
const LEAST = 0.1; // of the strongest: what is drawn of a player's interactions

/**
 * The players, shaded by their own effect, with links: point at one to read its values, click it
 * or press Space to remove it.
 */
export function createBoard(model, store) {
  const { content, elements, noun } = LENSES[model.view.kind](model);
  const links = createLinks(content, elements, model.view.kind === "text");
  elements.forEach((own, player) =>
    own.forEach((element, i) => {
      element.dataset.player = player;
      if (i) return;
      element.setAttribute("role", "checkbox");
      element.setAttribute("tabindex", player ? -1 : 0);
    }),
  );
  content.setAttribute("role", "group");
  content.setAttribute("aria-label", `Players. Space removes or restores a ${noun}; arrow keys move.`);
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
      toggle(player);
    },
    keydown: (event) => {
      const player = playerOf(event);
      if (player === null || event.ctrlKey || event.metaKey || event.altKey) return;
      const next = move(event.key, player, elements);
      if (event.key === " " || event.key === "Enter") toggle(player);
      else if (next === null) return;
      else go(next);
      event.preventDefault();
    },
  })) {
    content.addEventListener(event, run);
  }

  const legend = h("p", { class: "legend soft" });
  store.on(["effects"], ({ effects, findings, index, output }) => {
    const shaded = effects.map((effect, player) => (findings[player] ? Math.abs(effect) : 0));
    const most = full(model, output, Math.max(...shaded));
    elements.forEach((own, player) =>
      own.forEach((element) => {
        element.style.setProperty("--a", ((0.6 * shaded[player]) / most).toFixed(3));
        element.classList.toggle("minus", effects[player] < 0);
      }),
    );
    const [plus, minus] = index === "Fourier" ? ["positive", "negative"] : ["raises the score", "lowers it"];
    if (!model.verdict.trusted[output]) {
      legend.textContent = "Nothing is shaded: this is predicted no better than by the mean of the ablations.";
      return;
    }
    legend.replaceChildren(
      `Shaded by each ${noun}'s own ${index}: `,
      h("span", { class: "key plus" }, plus),
      ", ",
      h("span", { class: "key minus" }, minus),
      judges(model) ? "; not shaded: not distinguishable from zero" : "",
      ". Lines: the strongest of the interactions listed below.",
    );
  });
  store.on(["mask"], ({ mask }) =>
    elements.forEach((own, player) =>
      own.forEach((element) => {
        element.classList.toggle("removed", !mask[player]);
        if (element.role) element.setAttribute("aria-checked", mask[player] ? "true" : "false");
      }),
    ),
  );

  const drawn = ({ hover, pinned, rows, listed }) => {
    if (hover?.row || (pinned && hover?.player === undefined)) return [[hover?.row ?? pinned], true];
    if (hover) {
      const own = rows.filter((row) => row.finding && row.players.length > 1 && row.players.includes(hover.player));
      const some = strongest(own, OF_PLAYER);
      return [some.filter((row) => Math.abs(row.value) >= LEAST * Math.abs(some[0].value)), true];
    }
    return [listed.filter((row) => row.players.length > 1).slice(0, FAINT), false];
  };
  const draw = (state) => {
    const [rows, strong] = drawn(state);
    const largest = full(model, state.output, Math.max(...rows.map((row) => Math.abs(row.value)), 0));
    links(rows, largest, strong);
    const lit = new Set(strong ? rows.flatMap((row) => row.players) : []);
    if (state.hover?.player !== undefined) lit.add(state.hover.player);
    elements.forEach((own, player) =>
      own.forEach((element) => element.classList.toggle("lit", lit.has(player))),
    );
  };
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
    h("div", { class: "stage" }, content),
    legend,
    h(
      "p",
      { class: "controls buttons" },
      button("Keep all", () => store.set({ mask: new Uint8Array(model.n).fill(1) })),
      button("Remove all", () => store.set({ mask: new Uint8Array(model.n) })),
      h("span", { class: "soft" }, `Click a ${noun}, or press Space on it, to remove it.`),
    ),
  );
  new ResizeObserver(() => draw(store.get())).observe(content);
  store.on(["hover", "pinned", "listed", "rows"], (state) => content.isConnected && draw(state));
  return root;
}

/** The player that an arrow key leads to, or null for another key. */
function move(key, player, elements) {
  const last = elements.length - 1;
  const direct = {
    ArrowRight: Math.min(player + 1, last),
    ArrowLeft: Math.max(player - 1, 0),
    Home: 0,
    End: last,
  }[key];
  if (direct !== undefined) return direct;
  if (key !== "ArrowUp" && key !== "ArrowDown") return null;
  const boxes = elements.map((own) => own[0].getBoundingClientRect());
  const here = boxes[player];
  const down = key === "ArrowDown";
  let best = player;
  let least = Infinity;
  boxes.forEach((box, other) => {
    const below = down ? box.top - here.top : here.top - box.top;
    if (below < 4) return;
    const distance = below * 10 + Math.abs(box.left - here.left);
    if (distance < least) [best, least] = [other, distance];
  });
  return best;
}
