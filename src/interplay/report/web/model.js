/**
 * What the page's data block says, ready to compute with.
 *
 * Sets of players are rows of `members`, ascending and padded with n. Numbers come as base64 of
 * little-endian arrays, so that they are what Python computed to the last bit. Where the data ask
 * for it, the mean over all outputs is one more output, the last, and the first to be shown; its
 * intervals are not known.
 */
export function readModel(data) {
  const { n, spectrum, ablations } = data;
  const outputs = data.outputs.length || 1;
  const members = array(spectrum.members, Int32Array);
  const width = spectrum.width;
  const nTerms = spectrum.n_terms;
  const orders = new Uint16Array(nTerms);
  for (let term = 0; term < nTerms; term++) {
    while (orders[term] < width && members[term * width + orders[term]] < n) orders[term]++;
  }
  const bytes = (n + 7) >> 3;
  const masks = array(ablations.masks, Uint8Array);
  const withMean = (all) => (data.mean ? [...all, average(all)] : all);
  return {
    ...data,
    swapped: new Set(data.swapped),
    outputs: data.mean ? [...data.outputs, `mean of all ${outputs}`] : data.outputs,
    output: data.mean ? outputs : data.first,
    units: data.mean ? [...data.units, data.units[0]] : data.units,
    directions: data.mean ? [...data.directions, data.directions[0]] : data.directions,
    terms: { count: nTerms, width, members, orders },
    coefficients: withMean(columns(array(spectrum.coefficients, Float64Array), outputs)),
    halves: Object.fromEntries(
      Object.entries(data.intervals.tables).map(([key, text]) => [
        key,
        columns(array(text, Float32Array), outputs).map((column, output) =>
          Float64Array.from(column, (half) => half * data.intervals.units[output]),
        ),
      ]),
    ),
    ends: Object.fromEntries(
      Object.entries(data.ends).map(([index, orders]) => [
        index,
        Object.fromEntries(
          Object.entries(orders).map(([order, ends]) => [
            order,
            { ...ends, values: withMean(ends.values) },
          ]),
        ),
      ]),
    ),
    ablations: {
      ...ablations,
      bytes,
      masks,
      count: bytes ? masks.length / bytes : 0,
      values: withMean(columns(array(ablations.values, Float64Array), outputs)),
      predicted: ablations.predicted && withMean(columns(array(ablations.predicted, Float64Array), outputs)),
    },
    circuits: data.circuits && {
      ...data.circuits,
      series: data.circuits.series.map((one) => {
        const packed = array(one.masks, Uint8Array);
        return { ...one, kept: one.sizes.map((_, row) => unpacked(packed, row, n)) };
      }),
    },
  };
}

function array(base64, type) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new type(bytes.buffer);
}

/** Row-major (rows, k) as k columns. */
function columns(values, k) {
  const rows = values.length / k;
  return Array.from({ length: k }, (_, column) => {
    const one = new values.constructor(rows);
    for (let row = 0; row < rows; row++) one[row] = values[row * k + column];
    return one;
  });
}

/** The mean of columns, row by row. */
function average(columns) {
  return columns[0].map((_, row) => columns.reduce((all, one) => all + one[row], 0) / columns.length);
}

/** The mask of one recorded ablation, (n,): 1 is kept. */
export function recordedMask(model, row) {
  return unpacked(model.ablations.masks, row, model.n);
}

/** One of packed masks, (n,): 1 is kept. */
function unpacked(masks, row, n) {
  const bytes = (n + 7) >> 3;
  return Uint8Array.from({ length: n }, (_, i) => (masks[row * bytes + (i >> 3)] >> (i & 7)) & 1);
}

/** A mask as text: what an answer to it is kept under. */
export function maskKey(mask) {
  return mask.join("");
}

/** How many players each recorded ablation keeps. */
export function recordedSizes({ ablations: { masks, bytes, count } }) {
  return Array.from({ length: count }, (_, row) => {
    let kept = 0;
    for (let byte = 0; byte < bytes; byte++) kept += BITS[masks[row * bytes + byte]];
    return kept;
  });
}

/**
 * The recorded ablation that is nearest to a mask, and in how many players it differs.
 *
 * @returns {{row: number, distance: number}|null} null where the page holds none.
 */
export function nearest(model, mask) {
  const { masks, bytes, count } = model.ablations;
  if (!count) return null;
  const wanted = new Uint8Array(bytes);
  mask.forEach((kept, i) => {
    wanted[i >> 3] |= kept << (i & 7);
  });
  let best = { row: 0, distance: Infinity };
  for (let row = 0; row < count && best.distance; row++) {
    let distance = 0;
    for (let byte = 0; byte < bytes; byte++) {
      distance += BITS[masks[row * bytes + byte] ^ wanted[byte]];
    }
    if (distance < best.distance) best = { row, distance };
  }
  return best;
}

const BITS = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);
