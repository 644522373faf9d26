/** f(m) = sum over S of F(S) (-1)^(sum over S of m_i), for one output and one mask (n,). */
export function predict(model, output, mask) {
  const { count, width, members, orders } = model.terms;
  const coefficients = model.coefficients[output];
  let total = 0;
  for (let term = 0; term < count; term++) {
    let parity = 0;
    for (let i = 0; i < orders[term]; i++) parity ^= mask[members[term * width + i]];
    total += parity ? -coefficients[term] : coefficients[term];
  }
  return total;
}

/** The energy F(S)^2 by order, from order 0 on. */
export function energyByOrder(model, output) {
  const { count, orders } = model.terms;
  const energy = [0];
  for (let term = 0; term < count; term++) {
    const order = orders[term];
    while (energy.length <= order) energy.push(0);
    energy[order] += model.coefficients[output][term] ** 2;
  }
  return energy;
}

/**
 * Interactions under an index: I(S) = sum over T that contain S of W(|S|, |T|) F(T).
 *
 * The weights W come with the data; no index is defined here. Nor is what measured ends add to
 * sets of each size.
 *
 * @returns {{players: number[], value: number, half: number|null}[]} sorted by order and then
 *     lexicographically; `half` is half an interval's width, `null` where there is none.
 */
export function interactions(model, index, order, output) {
  const { count, width, members, orders } = model.terms;
  const coefficients = model.coefficients[output];
  const base = model.n + 1;
  const small = base ** order < Number.MAX_SAFE_INTEGER;
  const found = new Map();
  const byOrder = new Map();
  for (const [s, t, weight] of model.weights[index][order]) {
    if (!byOrder.has(t)) byOrder.set(t, []);
    byOrder.get(t).push({ weight, subsets: subsets(t, s) });
  }
  for (let term = 0; term < count; term++) {
    for (const { weight, subsets: chosen } of byOrder.get(orders[term]) ?? []) {
      const value = weight * coefficients[term];
      for (const places of chosen) {
        const players = places.map((place) => members[term * width + place]);
        const key = small
          ? players.reduce((all, player) => all * base + player + 1, 0)
          : players.join();
        const known = found.get(key);
        if (known) known.value += value;
        else found.set(key, { players, value, half: null });
      }
    }
  }
  const ends = model.ends[index]?.[order];
  if (ends) {
    // sets of one size all get the same; the empty set has no value under an index of single players
    const least = model.weights[index][order].some(([s]) => s === 0) ? 0 : 1;
    for (let size = least; size < ends.values[output].length; size++) {
      if (!ends.all && size > 1) continue;
      for (const players of subsets(model.n, size)) {
        const key = small
          ? players.reduce((all, player) => all * base + player + 1, 0)
          : players.join();
        if (!found.has(key)) found.set(key, { players, value: 0, half: null });
      }
    }
    for (const row of found.values()) row.value += ends.values[output][row.players.length];
  }
  const rows = [...found.values()].sort((a, b) => compare(a.players, b.players));
  const halves = model.halves[`${index}/${order}`]?.[output];
  if (halves) rows.forEach((row, i) => (row.half = halves[i]));
  return rows;
}

function compare(a, b) {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}

/** All ways to choose s of t places, ascending. */
function subsets(t, s) {
  if (s === 0) return [[]];
  const all = [];
  const extend = (chosen, from) => {
    if (chosen.length === s) all.push(chosen);
    else for (let i = from; i < t; i++) extend([...chosen, i], i + 1);
  };
  extend([], 0);
  return all;
}
