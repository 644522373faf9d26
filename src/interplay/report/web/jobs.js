import { button, h } from "./dom.js";
import { count } from "./format.js";

const SHOWN = 4;

/**
 * The jobs of the server: those of all browsers, since there is one model for all.
 *
 * @param {function(number): void} stop asks the server to end a job.
 * @returns {{root: Element, put: function(object): void, all: function(object[]): void}}
 */
export function createJobs(stop) {
  const root = h("ul", { class: "jobs", "aria-label": "Runs of this server" });
  const jobs = new Map();
  const draw = () => {
    const listed = [...jobs.values()].sort((a, b) => b.number - a.number);
    const open = listed.filter(isOpen);
    root.replaceChildren(...[...open, ...listed.filter((job) => !isOpen(job)).slice(0, SHOWN - open.length)].map((job) => line(job, stop)));
    root.hidden = !listed.length;
  };
  draw();
  return {
    root,
    put(job) {
      jobs.set(job.number, job);
      draw();
    },
    all(list) {
      jobs.clear();
      for (const job of list) jobs.set(job.number, job);
      draw();
    },
  };
}

export const isOpen = ({ state }) => state === "waiting" || state === "running";

/** How far a job is, in words. */
export function inWords({ progress: { done, total, ablations, cv_r2: r2, step } }) {
  const parts = [];
  if (done !== undefined) parts.push(`${count(done)} of ${count(total)} ablations`);
  if (step) parts.push(step);
  if (ablations !== undefined && r2 !== null) parts.push(`cross-validated R2 ${r2.toFixed(2)} with ${count(ablations)}`);
  return parts.join("; ");
}

function line(job, stop) {
  const { number, label, state, said, stopping, progress } = job;
  const end = button("Stop", () => stop(number));
  end.setAttribute("aria-label", `Stop: ${label}`);
  end.disabled = stopping;
  return h(
    "li",
    { "data-job": number, "data-state": state },
    h("span", { class: "state" }, stopping && isOpen(job) ? "ending" : state),
    `: ${label} `,
    isOpen(job) ? end : null,
    state === "running"
      ? h("div", {}, h("progress", { max: progress.total ?? 1, value: progress.done ?? 0, "aria-label": label }), h("span", { class: "soft small" }, ` ${inWords(job)}`))
      : null,
    said ? h("div", { class: state === "failed" ? "error small" : "soft small" }, said) : null,
  );
}
