// The studio: a prompt is typed, cut into players, planned, run, and watched while it runs.
import { call, follow } from "./api.js";
import { drawCurve } from "./curve.js";
import { button, h, optionsOf } from "./dom.js";
import { count, cut, number, signed } from "./format.js";
import { createJobs, isOpen } from "./jobs.js";

const PAUSE = 350; // milliseconds after the last key
const facts = JSON.parse(document.querySelector("script.data").textContent);
const main = document.querySelector("main.studio");
const error = h("p", { class: "error", role: "alert" });
const jobs = createJobs((job) => call("api/stop", { job }).catch(say));
let watched = null; // the name of the run that is shown

function say(problem) {
  error.textContent = problem.message;
}

// ---- the form

const field = (name, label, element) => [name, element, h("label", { class: "line" }, h("span", {}, label), element)];
const FIELDS = [
  field("text", "Text: its parts are removed in turn", h("textarea", { name: "text", rows: 8, spellcheck: "false" })),
  field("by", "Players", h("select", { name: "by" }, ...optionsOf(facts.units.map((unit) => [unit, `by ${unit}`])))),
  field("before", "Fixed words before it", h("textarea", { name: "before", rows: 1 })),
  field("after", "Fixed words after it", h("textarea", { name: "after", rows: 3 })),
  field(
    "target",
    "Score",
    h(
      "select",
      { name: "target" },
      ...optionsOf([
        ["prob", "probability of the answer"],
        ["logprob", "log-probability of the answer"],
        ["logit", "log-odds of the answer"],
        ["logit-difference", "first answer less the second, next token"],
      ]),
    ),
  ),
  field("response", "Answer (empty: the model's own)", h("input", { name: "response", autocomplete: "off" })),
  field("against", "Second answer", h("input", { name: "against", autocomplete: "off" })),
  field("budget", "Most ablations (empty: by the number of players)", h("input", { name: "budget", type: "number", min: 10, max: 20000 })),
];
const inputs = Object.fromEntries(FIELDS.map(([name, element]) => [name, element]));
const lines = Object.fromEntries(FIELDS.map(([name, , line]) => [name, line]));

function form() {
  const values = Object.fromEntries(Object.entries(inputs).map(([name, element]) => [name, element.value]));
  const budget = inputs.budget.value ? Number(inputs.budget.value) : null;
  const spaced = (text) => (text && !/^\s/.test(text) && inputs.text.value ? `\n\n${text}` : text);
  return { ...values, after: spaced(values.after), budget };
}

function fill(example) {
  for (const [name, element] of Object.entries(inputs)) element.value = name === "after" ? example.after.replace(/^\n\n/, "") : (example[name] ?? "");
  changed();
}

const example = h(
  "select",
  { name: "example", on: { change: () => example.value !== "" && fill(facts.examples[Number(example.value)]) } },
  h("option", { value: "" }, "paste your own, or pick one"),
  ...optionsOf(facts.examples.map(({ name }, i) => [i, name])),
);
const runButton = button("Run", async () => {
  error.textContent = "";
  try {
    const job = await call("api/run", form());
    watch(job.where);
    jobs.put(job);
    jobs.root.querySelector("button")?.focus();
  } catch (problem) {
    say(problem);
  }
});
runButton.classList.add("run");
runButton.disabled = true;

// ---- the players and the plan

const players = h("div", { class: "players", role: "group", "aria-label": "The prompt, cut into players", tabindex: 0 });
const counted = h("p", { class: "soft small", role: "status" }, "Paste a text, or pick an example.");
const planned = h("p", { class: "plan", role: "status" });
let timer = 0;
let asked = 0;

function changed() {
  lines.against.hidden = inputs.target.value !== "logit-difference";
  clearTimeout(timer);
  timer = setTimeout(preview, PAUSE);
}

async function preview() {
  const turn = ++asked;
  error.textContent = "";
  if (!inputs.text.value.trim()) {
    runButton.disabled = true;
    return;
  }
  try {
    const cutUp = await call("api/players", form());
    if (turn !== asked) return;
    if (!watched) show(cutUp.pieces, () => null);
    counted.textContent = `${count(cutUp.n_players)} players by ${inputs.by.value}. What is not shaded stays.`;
    planned.textContent = "Planning …";
    const plan = await call("api/plan", form());
    if (turn !== asked) return;
    planned.textContent = inSentence(plan);
    planned.dataset.ablations = plan.ablations;
    runButton.disabled = false;
  } catch (problem) {
    if (turn !== asked) return;
    runButton.disabled = true;
    planned.textContent = "";
    say(problem);
  }
}

function inSentence({ ablations, held_out: held, tokens, seconds, steps }) {
  const time = seconds === null ? "" : `, about ${duration(seconds)} on this machine and the time to decode`;
  const judged = held ? `, ${count(held)} of them to judge it by` : ": all that there are, so that it is exact";
  const looks = steps.length > 1 ? ` Explained anew at ${steps.map(count).join(", ")}.` : "";
  return `${count(ablations)} ablations${judged}; about ${count(Math.round(tokens))} tokens${time}.${looks}`;
}

function duration(seconds) {
  if (seconds < 100) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** The prompt, each player shaded by its effect. */
function show(pieces, effectOf, full = 1) {
  players.replaceChildren(
    ...pieces.map(([text, player]) => {
      if (player === null) return document.createTextNode(text);
      const effect = effectOf(player);
      const segment = h("span", { class: "segment", "data-player": player }, text);
      if (effect !== null) {
        segment.classList.add(effect < 0 ? "minus" : "plus");
        segment.style.setProperty("--a", (0.6 * Math.min(1, Math.abs(effect) / full)).toFixed(3));
        segment.title = effect ? signed(effect) : "cannot be told from zero";
      }
      return segment;
    }),
  );
}

// ---- the run that is watched

const looks = h("div", { role: "status", "aria-live": "polite" });
const heading = h("h2");
const looked = h("section", { hidden: true, "aria-label": "The explanation" });

function watch(name) {
  watched = name;
  looked.hidden = false;
  looks.replaceChildren(h("p", { class: "soft" }, "The first look comes when enough ablations are there."));
  heading.textContent = "The explanation so far";
  looked.replaceChildren(heading, looks);
}

function drawLook({ name, sentence, level, index, pieces, effects, full, ends, top, n_left_out: left, curve, last }) {
  if (name !== watched) return;
  if (last) heading.textContent = "The explanation";
  show(pieces, (player) => effects[player], full);
  counted.textContent = "Blue raises the score, orange lowers it. Not shaded: it stays, or its own effect cannot be told from zero.";
  const rows = top.map(({ players: numbers, labels, value, low, high }) =>
    h(
      "tr",
      { "data-players": numbers.join(",") },
      h("td", {}, labels.map((label) => cut(label.trim(), 48)).join(" × ")),
      h("td", { class: "value" }, signed(value), low === null ? null : h("div", { class: "soft small" }, `${signed(low)} to ${signed(high)}`)),
    ),
  );
  const shown = [
    h("p", {}, h("strong", { "data-level": level }, sentence)),
    ends ? h("p", { class: "soft small" }, `With everything ${number(ends[0])}, with nothing ${number(ends[1])}.`) : null,
    drawCurve(curve),
    rows.length
      ? h("table", { class: "rows top" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Alone or together"), h("th", { scope: "col", class: "value" }, `${index} (90 % interval)`))), h("tbody", {}, ...rows))
      : h("p", {}, "Nothing can be told from zero yet."),
    left ? h("p", { class: "soft small" }, `${count(left)} others cannot be told from zero.`) : null,
    last ? h("p", {}, h("a", { href: `run/${name}/`, class: "open" }, "Open its page: ask the model, confirm, go on")) : null,
  ];
  looks.replaceChildren(...shown.filter(Boolean));
}

// ---- the history

const history = h("div", { class: "history" });

function inWordsOf({ unfinished, error, text }) {
  if (unfinished) return "Not explained yet. Run the same text again, and it goes on with these ablations.";
  return error ?? cut(text, 90);
}

async function listed() {
  try {
    const { runs } = await call("api/history");
    history.replaceChildren(
      runs.length
        ? h(
            "table",
            {},
            h("thead", {}, h("tr", {}, ...["Run", "Text", "R2", "Ablations"].map((label) => h("th", { scope: "col" }, label)))),
            h(
              "tbody",
              {},
              ...runs.map((run) =>
                h(
                  "tr",
                  { "data-run": run.name },
                  h("td", {}, run.unfinished ? run.name : h("a", { href: `run/${run.name}/` }, run.name)),
                  h("td", {}, inWordsOf(run)),
                  h("td", {}, run.r2 == null ? "" : `${run.r2.toFixed(2)}, ${run.level}`),
                  h("td", {}, count(run.ablations ?? run.unfinished ?? 0)),
                ),
              ),
            ),
          )
        : h("p", { class: "soft" }, "No runs yet."),
    );
  } catch (problem) {
    say(problem);
  }
}

function told(job) {
  jobs.put(job);
  if (job.where === watched && job.kind === "run") {
    if (job.state === "failed" || (job.state === "stopped" && !looks.querySelector("a.open"))) {
      looks.append(h("p", { class: job.state === "failed" ? "error" : "" }, job.said));
    }
  }
  if (!isOpen(job)) listed();
}

// ---- the page

const write = h(
  "section",
  { "aria-label": "The prompt" },
  h("h2", {}, "Prompt"),
  h("label", { class: "line" }, h("span", {}, "Example"), example),
  lines.text,
  h("div", { class: "two" }, lines.by, lines.target),
  lines.before,
  lines.after,
  h("div", { class: "two" }, lines.response, lines.against),
  lines.budget,
);
const see = h(
  "div",
  {},
  h("section", { "aria-label": "Players" }, h("h2", {}, "Players"), counted, players),
  h("section", { "aria-label": "Plan" }, h("h2", {}, "Plan"), planned, h("p", {}, runButton), error, jobs.root),
  looked,
);
const closed = h("p", { class: "wide soft" }, "Read-only: runs can be looked at, and nothing is evaluated.");
const past = h("section", { class: "wide", "aria-label": "History" }, h("h2", {}, "Runs"), history);
main.replaceChildren(...(facts.read_only ? [closed, error, past] : [write, see, past]));
if (!facts.read_only) {
  for (const element of Object.values(inputs)) element.addEventListener("input", () => { watched = null; looked.hidden = true; changed(); });
  lines.against.hidden = true;
}
document.querySelector(".brand .soft").textContent = `studio: ${facts.model}`;
listed();
follow("api/events", {
  state: ({ jobs: list }) => jobs.all(list),
  job: told,
  look: drawLook,
  changed: listed,
  lost: () => say(new Error("The server does not answer. What was evaluated is stored; start it again to go on.")),
  found: () => (error.textContent = ""),
});
document.documentElement.dataset.ready = "true";
