import { h } from "../dom.js";

/**
 * Components as a grid: a row for each layer that has a player, a column for each head, then MLPs;
 * whole layers as bars. A player of several units has several cells.
 */
export function gridLens(model) {
  const { units, n_heads: nHeads } = model.view;
  const elements = Array.from({ length: model.n }, () => []);
  const owners = new Map();
  units.forEach((own, player) => own.forEach((unit) => owners.set(unit.join(), player)));
  const all = units.flat();
  const layers = [...new Set(all.map(([layer]) => layer))].sort((a, b) => a - b);
  const hasHeads = all.some(([, kind]) => kind === "head");
  const hasMlps = all.some(([, kind]) => kind === "mlp");
  const hasLayers = all.some(([, kind]) => kind === "layer");
  const widest = hasHeads ? Math.max(...layers.map((layer) => nHeads[layer] ?? 0)) : 0;

  const cell = (layer, kind, head, label) => {
    const player = owners.get([layer, kind, head].join());
    if (player === undefined) return h("div", { class: "cell absent" });
    const first = elements[player].length === 0;
    const element = h("div", {
      class: "player cell",
      "aria-label": first ? model.players[player] : null,
      "aria-hidden": first ? null : "true",
    });
    if (label) element.append(h("span", { class: "words" }, label));
    elements[player].push(element);
    return element;
  };
  const rows = layers.map((layer) => {
    const row = h("div", { class: "layer" }, h("div", { class: "label" }, `L${layer}`));
    for (let head = 0; head < widest; head++) {
      row.append(head < (nHeads[layer] ?? 0) ? cell(layer, "head", head) : h("div"));
    }
    if (hasMlps) row.append(cell(layer, "mlp", 0));
    if (hasLayers) row.append(cell(layer, "layer", 0, "layer"));
    return row;
  });
  const titles = h(
    "div",
    { class: "layer titles", "aria-hidden": "true" },
    h("div", { class: "label" }, ""),
    ...Array.from({ length: widest }, (_, head) => h("div", {}, String(head))),
    ...(hasMlps ? [h("div", {}, "MLP")] : []),
    ...(hasLayers ? [h("div", {}, "")] : []),
  );
  const content = h("div", { class: layers.length > 12 ? "layers many" : "layers" }, titles, ...rows);
  const wide = "minmax(0, 2fr)";
  const template = `2.2rem ${"minmax(0, 1fr) ".repeat(widest)}${hasMlps ? wide : ""} ${hasLayers ? wide : ""}`;
  for (const row of content.children) row.style.gridTemplateColumns = template;
  return { content, elements, noun: "component" };
}
