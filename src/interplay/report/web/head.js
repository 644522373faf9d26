import { button } from "./dom.js";

/**
 * Lights up, in the players, what a finding or a card is about: while it is pointed at, and after a
 * click until the next one.
 */
export function followFindings(part, model, store) {
  const rowOf = (element) => {
    const players = element.dataset.players.split(",").map(Number);
    const key = players.join();
    const row = store.get().rows.find((one) => one.players.join() === key);
    return row ?? { players, value: 0, half: null, finding: false };
  };
  const isOf = (row, element) => row?.players.join() === element.dataset.players;
  const all = [...part.querySelectorAll(".finding, .card")];
  for (const element of all) {
    const toggle = () => store.set({ pinned: isOf(store.get().pinned, element) ? null : rowOf(element) });
    element.addEventListener("pointerenter", () => store.set({ hover: { row: rowOf(element) } }));
    element.addEventListener("pointerleave", () => store.set({ hover: null }));
    element.addEventListener("click", (event) => {
      if (!event.target.closest("a, button") && !String(getSelection())) toggle();
    });
    if (element.matches(".card")) {
      const light = button("Light up", toggle);
      light.className = "light";
      element.append(light);
    } else {
      // the evidence is where the link leads, and lights up there
      element.querySelector(".evidence")?.addEventListener("click", () => store.set({ pinned: rowOf(element) }));
    }
  }
  store.on(["pinned"], ({ pinned }) => {
    for (const element of all) {
      const is = isOf(pinned, element);
      element.classList.toggle("pinned", is);
      element.querySelector(".light")?.setAttribute("aria-pressed", is ? "true" : "false");
    }
  });
}
