// The page in a notebook, for anywidget: everything is inside one element and a shadow root of its
// own, so that neither style changes the other's.
import { startPart } from "./app.js";

function render({ model, el }) {
  const host = document.createElement("div");
  const root = host.attachShadow({ mode: "open" });
  const style = document.createElement("style");
  style.textContent = model.get("style");
  const page = document.createElement("div");
  page.className = "widget";
  page.innerHTML = model.get("page"); // made and escaped by the same template as the page's
  root.append(style, page);
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
