// The page of a run as its server shows it: the model answers, and what it finds is stored.
import { call, follow } from "./api.js";
import { button, h } from "./dom.js";
import { capital, count, cut, number } from "./format.js";
import { createJobs } from "./jobs.js";
import { started } from "./main.js";
import { maskKey } from "./model.js";
import { act, goneOf, without } from "./removal.js";
import { predict } from "./spectrum.js";

const PAUSE = 120; // milliseconds: several clicks in a row are one question
const KEPT = `interplay:removed:${location.pathname}`;

let state;
const jobs = createJobs((job) => call("api/stop", { job }).catch(say));
const said = h("p", { class: "error small", role: "alert" });
const news = h("p", { hidden: true, role: "status" });
const panels = new Map();

function say(error) {
  said.textContent = error.message;
}

/** What a server adds to a part of the page: the model's answer, and what can be asked for. */
function attach(part, { model, store }) {
  if (panels.has(part)) return;
  const index = Number(part.id.replace(/\D+/g, "")) - 1;
  const told = h("p", { class: "told", role: "status", "aria-live": "polite" });
  const confirm = (players) => ask("api/confirm", { part: index, players: [...players] });
  const confirmOne = button("", () => confirm(store.get().pinned.players));
  const goal = h("input", { type: "number", min: 0.05, max: 1, step: "any", value: state.goal ?? 0.9, id: `goal${index}` });
  const more = button("More ablations", () => ask("api/more", { until: Number(goal.value) }));
  more.disabled = !state.more;
  const keep = button("", () => ask("api/keep", { part: index }));
  const unkept = (n) => {
    keep.textContent = n ? `Keep ${n === 1 ? "the answer" : `the ${count(n)} answers`}` : "Keep the answers";
    keep.disabled = !n;
  };
  unkept(state.unkept?.[index] ?? 0);
  const controls = h(
    "div",
    { class: "row" },
    keep,
    button("Confirm the strongest 5", () => ask("api/confirm", { part: index, top: 5 })),
    confirmOne,
    more,
    h("label", { for: `goal${index}` }, "until R2 in cross-validation is "),
    goal,
  );
  const root = h(
    "section",
    { class: "live", "aria-label": "Live" },
    h("h2", {}, state.read_only ? "Read-only" : "Live: the model answers"),
    state.read_only ? h("p", { class: "soft" }, `Nothing is evaluated. ${state.why}`) : told,
    state.read_only ? null : controls,
    !state.read_only && !state.more ? h("p", { class: "soft small" }, state.why_no_more) : null,
  );
  panels.set(part, { root, place: () => root.append(news, said, jobs.root) });
  part.querySelector(".app").before(root);
  panels.get(part).place();
  if (state.read_only) return;

  store.on(["pinned"], ({ pinned }) => {
    confirmOne.disabled = !pinned;
    const names = pinned ? [...pinned.players].map((player) => cut(model.players[player].trim(), 24)).join(" × ") : "";
    confirmOne.textContent = pinned ? `Confirm ${names}` : "Confirm what you light up";
  });
  for (const card of part.querySelectorAll(".card[data-players]")) {
    card.append(" ", button("Confirm this", () => confirm(card.dataset.players.split(",").map(Number))));
  }
  const means = (values) => (model.outputs.length > values.length ? [...values, values.reduce((all, v) => all + v, 0) / values.length] : values);
  const known = new Map();
  const before = JSON.parse(sessionStorage.getItem(KEPT) ?? "null"); // of this page, before it was renewed
  let timer = 0;
  const show = () => {
    const { mask, output } = store.get();
    const key = maskKey(mask);
    const answer = known.get(key);
    const gone = goneOf(mask);
    if (!gone.length) {
      told.replaceChildren(`${capital(act(model))} something, and the model is asked what it says then.`);
    } else if (!answer) {
      told.replaceChildren(`${without(model, gone)}: asking the model …`);
    } else {
      const value = h("strong", { class: "measured", "data-value": answer.values[output] }, number(answer.values[output]));
      const how = answer.stored ? "stored before" : `${answer.wait < 9950 ? `${(answer.wait / 1000).toFixed(1)} s` : `${Math.round(answer.wait / 1000)} s`}`;
      told.replaceChildren(`${without(model, gone)} the model gives `, value, `; predicted ${number(predict(model, output, mask))} (${how}).`);
      root.dataset.wait = answer.wait;
    }
  };
  store.on(["mask"], ({ mask }) => {
    clearTimeout(timer);
    const key = maskKey(mask);
    const removed = goneOf(mask);
    sessionStorage.setItem(KEPT, JSON.stringify({ part: part.id, n: mask.length, removed }));
    if (known.has(key)) store.set({ answer: { key, values: known.get(key).values }, asking: null });
    else if (removed.length) {
      store.set({ asking: key });
      const begun = performance.now();
      timer = setTimeout(async () => {
        try {
          const answer = await call("api/ask", { part: index, removed });
          known.set(key, { ...answer, values: means(answer.values), wait: performance.now() - begun });
          if (maskKey(store.get().mask) === key) store.set({ answer: { key, values: known.get(key).values }, asking: null });
          unkept(answer.unkept);
          said.textContent = "";
        } catch (error) {
          say(error);
          store.set({ asking: null });
        }
        show();
      }, PAUSE);
    } else store.set({ asking: null });
    show();
  });
  store.on(["output"], show);
  if (before?.part === part.id && before.n === model.n && before.removed.length) {
    const mask = new Uint8Array(model.n).fill(1);
    for (const player of before.removed) mask[player] = 0;
    store.set({ mask });
  }
}

async function ask(path, body) {
  said.textContent = "";
  try {
    jobs.put(await call(path, body));
  } catch (error) {
    say(error);
  }
}

/** The run has other results than this page: shown at once, unless the reader is at something. */
function renewed(version) {
  if (version === state.version) return;
  if (document.activeElement === document.body || document.activeElement?.matches(".live button, .live input")) location.reload();
  news.replaceChildren("The run has new results. ", button("Show them", () => location.reload()));
  news.hidden = false;
}

async function start() {
  state = await call("api/state").catch((error) => ({ read_only: true, why: error.message, jobs: [] }));
  for (const [part, views] of started) attach(part, views);
  document.addEventListener("interplay:part", ({ detail: { part, ...views } }) => attach(part, views));
  addEventListener("hashchange", () => {
    for (const [part, panel] of panels) if (!part.hidden) panel.place();
  });
  jobs.all(state.jobs);
  follow("api/events", {
    state: ({ jobs: list }) => jobs.all(list),
    job: (job) => jobs.put(job),
    changed: ({ name, version }) => name === state.name && renewed(version),
    lost: () => say(new Error("The server does not answer. What was evaluated is stored; start it again to go on.")),
    found: () => (said.textContent = ""),
  });
  document.documentElement.dataset.live = "true";
}

start();
