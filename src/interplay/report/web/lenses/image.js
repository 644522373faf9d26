import { textLens } from "./text.js";
import { h } from "../dom.js";

const NUMBERED = 120;

/** An element of SVG, which has a namespace of its own. */
function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * An image in shades of grey, so that colours are those of effects, with its regions upon it; below
 * it the text, where some players are segments of one. Its colours come back where it is pointed at.
 */
export function imageLens(model) {
  const { jpeg, width, height, paths, places, pieces } = model.view;
  const words = pieces.length ? textLens(model) : null;
  const elements = words?.elements ?? Array.from({ length: model.n }, () => []);
  const regions = paths.map((d, player) => {
    const label = `${player}: ${model.players[player]}`;
    const element = svg("path", { d, class: "player region", "fill-rule": "evenodd", "aria-label": label });
    elements[player].push(element);
    return element;
  });
  const numbers = paths.length <= NUMBERED ? places.map(([x, y], player) => svg("text", { x, y, "aria-hidden": "true" }, String(player))) : [];
  const picture = svg("image", { href: `data:image/jpeg;base64,${jpeg}`, width, height, preserveAspectRatio: "none" });
  const content = h(
    "div",
    { class: "picture" },
    svg("svg", { class: "regions", viewBox: `0 0 ${width} ${height}` }, picture, ...regions, ...numbers),
    words && h("div", { class: "others" }, words.content),
  );
  return { content, elements, noun: words ? "player" : "region" };
}
