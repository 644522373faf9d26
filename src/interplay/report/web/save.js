import { button, h } from "./dom.js";

const MARGIN = 24;
const SCALE = 2; // pixels of a PNG for each of the page
const LEFT_OUT = ".hint, script, style, button, select, input, label, .tip, [hidden], .static";

/** Buttons that save the question, the answer, and the input as it is shown, without a network. */
export function createSave(part) {
  const note = h("span", { class: "soft small", role: "status" });
  const run = (make, ending) => async () => {
    try {
      offer(await make(part), `explanation.${ending}`);
      note.textContent = "";
    } catch {
      note.textContent = ` This browser does not make ${ending.toUpperCase()} files of pages.`;
    }
  };
  return h(
    "p",
    { class: "controls buttons save" },
    button("Save as SVG", run(svgOf, "svg")),
    button("Save as PNG", run(pngOf, "png")),
    note,
  );
}

function offer(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function svgOf(part) {
  return new Blob([drawn(part).text], { type: "image/svg+xml" });
}

async function pngOf(part) {
  const { text, width, height } = drawn(part);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = h("canvas", { width: width * SCALE, height: height * SCALE });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/png");
  });
}

/** What is shown, as the text of an SVG that holds its elements and the page's style. */
function drawn(part) {
  const shown = [".head", ".reading"].map((name) => part.querySelector(name)).filter(Boolean);
  const boxes = shown.map((element) => element.getBoundingClientRect());
  const width = Math.ceil(Math.max(...boxes.map((box) => box.width))) + 2 * MARGIN;
  const bottom = Math.max(...boxes.map((box) => box.bottom));
  const height = Math.ceil(bottom - Math.min(...boxes.map((box) => box.top))) + 2 * MARGIN;
  const [sheet] = part.getRootNode().styleSheets;
  const rules = `${frozen(sheet.cssRules)} .saved { margin: 0; max-width: none; padding: ${MARGIN}px; min-height: ${height}px; }`;
  const page = h("div", { class: "widget saved" }, h("style", {}, rules));
  page.append(...shown.map((element) => copied(element)));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const inside = document.createElementNS("http://www.w3.org/2000/svg", "foreignObject");
  for (const element of [svg, inside]) {
    element.setAttribute("width", width);
    element.setAttribute("height", height);
  }
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  inside.append(page);
  svg.append(inside);
  return { text: new XMLSerializer().serializeToString(svg), width, height };
}

/** The rules that hold now, in this window and these colours. */
function frozen(rules) {
  return [...rules]
    .map((rule) => {
      if (!(rule instanceof CSSMediaRule)) return rule.cssText;
      return matchMedia(rule.conditionText).matches ? frozen(rule.cssRules) : "";
    })
    .join("\n");
}

function copied(element) {
  const copy = element.cloneNode(true);
  for (const out of copy.querySelectorAll(LEFT_OUT)) out.remove();
  for (const link of copy.querySelectorAll("a")) link.removeAttribute("href");
  return copy;
}
