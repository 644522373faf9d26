import { startPart } from "./app.js";

performance.mark("interplay:start");
const parts = [...document.querySelectorAll("section.part")];
export const started = new Map(); // part -> { model, store }

/** With several explanations one is shown at a time: the one that the address names. */
function show() {
  const wanted = parts.find((part) => `${location.hash}-`.startsWith(`#${part.id}-`)) ?? parts[0];
  for (const part of parts) part.hidden = part !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${wanted.id}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  if (!started.has(wanted)) {
    started.set(wanted, startPart(wanted));
    document.dispatchEvent(new CustomEvent("interplay:part", { detail: { part: wanted, ...started.get(wanted) } }));
  }
}

window.addEventListener("hashchange", show);
show();
performance.mark("interplay:interactive");
document.documentElement.dataset.ready = "true";
