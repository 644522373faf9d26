import { count } from "./format.js";

/** What becomes of players that are not kept, in words: removed, or swapped for another value. */

/** What a player, or all of some, are that are not kept. */
export function done(model, players) {
  const swapped = players.filter((player) => model.swapped.has(player)).length;
  if (!swapped) return "removed";
  return swapped === players.length ? "swapped" : "removed or swapped";
}

/** What is done to a player, or to all. */
export function act(model, players = [...model.players.keys()]) {
  return { removed: "remove", swapped: "swap" }[done(model, players)] ?? "remove or swap";
}

/** Those that a mask leaves out. */
export function goneOf(mask) {
  return [...mask.keys()].filter((player) => !mask[player]);
}

/** The input without so many players: "Without 3 players", or "With 3 swapped". */
export function without(model, players) {
  const how = done(model, players);
  if (how === "removed") return `Without ${count(players.length)} ${players.length === 1 ? "player" : "players"}`;
  return `With ${count(players.length)} ${how === "swapped" ? how : "changed"}`;
}

/** How many are removed, and how many swapped: "2 of 14 removed, 1 swapped". */
export function inAll(model, players) {
  const swapped = players.filter((player) => model.swapped.has(player)).length;
  const parts = [[players.length - swapped, "removed"], [swapped, "swapped"]].filter(([some]) => some);
  return parts.map(([some, done], i) => `${count(some)}${i ? "" : ` of ${count(model.n)}`} ${done}`).join(", ");
}
