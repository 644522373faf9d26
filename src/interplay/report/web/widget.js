// The page in a notebook, for anywidget: everything is inside one element and a shadow root of its
// own, so that neither style changes the other's.
import { startPart } from "./app.js";
import { h } from "./dom.js";

function render({ model, el }) {
  const host = h("div");
  const root = host.attachShadow({ mode: "open" });
  // made and escaped by the same template as the page's; scripts in it would not run
  const made = new DOMParser().parseFromString(model.get("page"), "text/html");
  const page = h("div", { class: "widget" }, ...made.body.childNodes);
  root.append(h("style", {}, model.get("css")), page);
  el.append(host);
  const part = page.querySelector("section.part");
  startPart(part);
  root.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link) return;
    event.preventDefault(); // the address is the notebook's
    const target = root.getElementById(link.getAttribute("href").slice(1));
    if (!target) return;
    for (let outer = target; outer; outer = outer.parentElement) if (outer.tagName === "DETAILS") outer.open = true;
    target.scrollIntoView({ block: "nearest" });
  });
  part.dataset.ready = "true";
  return () => host.remove();
}

export default { render };
