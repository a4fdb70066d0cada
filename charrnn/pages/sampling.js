"use strict";
// How a symbol is drawn: kernels/sampling.py, with its order, its ties and its float32 numbers.
{
  const { fround, log, min } = Math;
  const NEVER = -Infinity, COLD = fround(1e-6), HOT = 1e30;
  const { exp } = globalThis.cells;

  function largestOf(row) {
    let largest = NEVER;
    for (const number of row) if (number > largest) largest = number;
    return largest;
  }

  // Leave the `count` largest numbers, the smallest of which is `cut`; of equals, the first.
  function leave(row, count, cut) {
    for (const number of row) if (number > cut) count--;
    for (let v = 0; v < row.length; v++) {
      if (row[v] === cut && count > 0) count--; else if (row[v] <= cut) row[v] = NEVER;
    }
  }

  // Leave the fewest most probable symbols whose probabilities sum to topP (Holtzman et al. 2020).
  function leaveNucleus(row, topP, largest) {
    const shares = row.map((number) => number > NEVER ? exp(fround(number - largest)) : 0);
    const total = shares.reduce((sum, share) => sum + share, 0);
    const least = 0.99 * (1 - topP) * total / row.length;
    const sorted = row.filter((number, v) => number > NEVER && shares[v] >= least).sort();
    let needed = topP * total, count = 0, cut = largest;
    while (count < sorted.length && (count === 0 || needed > 0)) {
      cut = sorted[sorted.length - 1 - count++];
      needed -= exp(fround(cut - largest));
    }
    leave(row, count, cut);
  }

  // A row (V,) of logits, -inf where a symbol may not be drawn, becomes the weights with which
  // symbols are drawn; returns the most probable symbol.
  function weigh(row, { temperature, topK, topP, minP }) {
    const degree = fround(min(temperature, HOT)), largest = largestOf(row);
    const best = row.indexOf(largest);
    if (degree <= COLD) {
      row.fill(0)[best] = 1;
      return best;
    }
    if (topK > 0 && topK < row.length) {
      leave(row, topK, Float32Array.from(row).sort()[row.length - topK]);
    }
    if (topP < 1) leaveNucleus(row, topP, largest);
    const least = fround(largest + fround(minP > 0 ? log(minP) : NEVER));
    for (let v = 0; v < row.length; v++) {
      const number = row[v] < least ? NEVER : row[v];
      row[v] = number > NEVER ? exp(fround(fround(number - largest) / degree)) : 0;
    }
    return best;
  }

  // The symbol that a number in [0, 1) draws by these weights.
  function pick(weights, best, uniform) {
    let left = 0, chosen = best;
    for (const weight of weights) left += weight;
    left *= uniform;
    for (let v = 0; v < weights.length; v++) {
      if (weights[v] > 0) {
        chosen = v;
        left -= weights[v];
        if (left < 0) return v;
      }
    }
    return chosen;
  }

  Object.assign(globalThis, { weigh, pick });
}
