import { aboutRow, chips } from "./about.js";
import { button, h } from "./dom.js";
import { count, interval, signed } from "./format.js";
import { hideTip } from "./tip.js";
import { full } from "./verdict.js";

const MORE = 25;

/** The interactions that pass the filters, as a table with bars and intervals. */
export function createRanking(model, store) {
  const body = h("tbody");
  const heading = h("th", { class: "value", scope: "col" });
  const said = h("p", { class: "soft small", role: "status" });
  const more = button(`Show ${MORE} more`, () => store.set({ top: store.get().top + MORE }));
  const byElement = new WeakMap();
  const rowOf = (event) => byElement.get(event.target.closest?.("tr")) ?? null;
  const point = (row) => {
    if (store.get().hover?.row !== row) store.set({ hover: row && { row } });
  };
  const elements = () => [...body.children].filter((element) => byElement.has(element));
  for (const [event, run] of Object.entries({
    pointerover: (event) => point(rowOf(event)),
    pointerleave: () => point(null),
    focusin: (event) => point(rowOf(event)),
    focusout: () => point(null),
    click: (event) => pin(rowOf(event)),
    keydown: (event) => {
      const row = rowOf(event);
      if (!row) return;
      const all = elements();
      const at = all.indexOf(event.target.closest("tr"));
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        all[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
      } else if (event.key === "Enter" || event.key === " ") pin(row);
      else return;
      event.preventDefault();
    },
  })) {
    body.addEventListener(event, run);
  }
  const pin = (row) => {
    if (row) store.set({ pinned: store.get().pinned === row ? null : row });
  };

  store.on(["listed", "top"], ({ listed, top, index, rows }) => {
    hideTip();
    const shown = listed.slice(0, top);
    heading.textContent = index;
    const { output } = store.get();
    body.replaceChildren(...shown.map((row) => line(model, row, full(model, output, extent(shown)))));
    elementsFor(shown, body, byElement);
    const sets = rows.filter((row) => row.players.length && !row.zero);
    const unsure = sets.filter((row) => !row.finding).length;
    if (!shown.length) {
      const none = sets.length && unsure === sets.length ? "None is distinguishable from zero." : "None passes the filters.";
      body.append(h("tr", {}, h("td", { colspan: 3, class: "soft" }, none)));
    }
    said.textContent =
      `${count(shown.length)} shown of ${count(listed.length)} that pass the filters, of ${count(sets.length)} in all` +
      (unsure ? `; ${count(unsure)} of these are not distinguishable from zero.` : ".");
    more.hidden = shown.length === listed.length;
    more.textContent = `Show ${count(Math.min(MORE, listed.length - shown.length))} more`;
  });
  store.on(["hover", "pinned"], ({ hover, pinned }) => {
    for (const element of elements()) {
      const row = byElement.get(element);
      const lit = hover?.row === row || (hover?.player !== undefined && row.players.includes(hover.player));
      element.classList.toggle("lit", lit);
      element.classList.toggle("pinned", pinned === row);
      if (pinned === row) element.setAttribute("aria-current", "true");
      else element.removeAttribute("aria-current");
    }
  });
  return h(
    "div",
    { class: "ranking" },
    h(
      "table",
      { class: "rows" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Players"), heading, h("td", {}))),
      body,
    ),
    said,
    h("p", { class: "controls buttons" }, more),
  );
}

function elementsFor(rows, body, byElement) {
  rows.forEach((row, i) => {
    byElement.set(body.children[i], row);
    body.children[i].setAttribute("tabindex", i ? -1 : 0);
  });
}

/** The largest size on the bars' common scale, intervals included. */
function extent(rows) {
  return Math.max(...rows.map((row) => Math.abs(row.value) + (row.half ?? 0)), 0);
}

function line(model, row, largest) {
  const at = (value) => `${50 + (50 * value) / largest}%`;
  const size = (value) => `${(50 * Math.abs(value)) / largest}%`;
  const fill = h("i", { class: row.value >= 0 ? "fill plus" : "fill minus" });
  fill.style.left = at(Math.min(row.value, 0));
  fill.style.width = size(row.value);
  const bar = h("div", { class: "bar" }, fill);
  if (row.half !== null) {
    const whisker = h("i", { class: "whisker" });
    whisker.style.left = at(row.value - row.half);
    whisker.style.width = size(2 * row.half);
    bar.append(whisker);
  }
  return h(
    "tr",
    { "data-players": row.players.join(), "data-value": row.value, class: row.finding ? null : "unsure" },
    h("td", {}, chips(model, row.players)),
    h(
      "td",
      { class: "value" },
      signed(row.value),
      row.half === null ? null : h("div", { class: "soft small" }, interval(row.value, row.half)),
      row.finding ? null : h("div", { class: "small" }, "may be zero"),
    ),
    h("td", { class: "bar" }, bar),
  );
}
