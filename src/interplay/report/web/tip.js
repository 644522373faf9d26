import { h } from "./dom.js";

let tip = null;
let owner = null;

/** Shows lines of text under (or above) an element; one at a time. */
export function showTip(element, content) {
  if (!tip) {
    tip = h("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
    document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
    window.addEventListener("scroll", follow, { passive: true, capture: true });
    window.addEventListener("resize", follow);
  }
  hideTip();
  const root = element.getRootNode(); // in a notebook, a shadow root
  const home = root === document ? (element.closest("main") ?? document.body) : root.querySelector(".widget");
  if (tip.parentNode !== home) home.append(tip);
  tip.replaceChildren(...content);
  tip.hidden = false;
  owner = element;
  owner.setAttribute("aria-describedby", "tip");
  place();
}

export function hideTip() {
  if (!tip || tip.hidden) return;
  tip.hidden = true;
  owner.removeAttribute("aria-describedby");
}

/** The tip of what has the focus stays with it; that of what was pointed at goes. */
function follow() {
  if (tip.hidden) return;
  if (owner.matches(":focus")) place();
  else hideTip();
}

function place() {
  tip.style.left = tip.style.top = "0";
  const at = owner.getBoundingClientRect();
  const own = tip.getBoundingClientRect();
  const room = document.documentElement.clientWidth - own.width - 8;
  const left = Math.max(8, Math.min(at.left + at.width / 2 - own.width / 2, room));
  const below = at.bottom + 8;
  const top = below + own.height < window.innerHeight ? below : at.top - own.height - 8;
  // from where it is now, since what it is placed by may be anywhere on a notebook's page
  tip.style.left = `${left - own.left}px`;
  tip.style.top = `${Math.max(top, 4) - own.top}px`;
}
