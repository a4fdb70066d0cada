"use strict";
// Attention over the symbols that were read last, as charrnn looks back when it writes
// (kernels/attention.py).
{
  const { exp: toE, fround, log, max, min } = Math;
  const { LANES, exp } = globalThis.cells, SUMS = new Float32Array(LANES);
  const COLD = fround(1e-6); // as in sampling.js

  // The scalar product of q and keys from `at` on, in the order of charrnn's.
  function productOf(q, d, keys, at) {
    SUMS.fill(0);
    for (let k = 0; k < d; k += LANES) {
      for (let lane = 0; lane < LANES; lane++) {
        SUMS[lane] += fround(q[k + lane] * keys[at + k + lane]);
      }
    }
    for (let width = LANES / 2; width >= 1; width /= 2) {
      for (let lane = 0; lane < width; lane++) SUMS[lane] += SUMS[lane + width];
    }
    return SUMS[0];
  }

  // bias: what is added for the positions t - M to t - 1. product: with W_q and W_k, (2 d, H).
  // A state ends with M + 1 keys, as many symbols (1 + id, 0 for none), and the place of the
  // oldest: the newest key is not looked at before the next symbol.
  class Attention {
    constructor(bias, product, H, symbols) {
      const d = product.rows / 2, places = bias.length + 1;
      Object.assign(this, { bias, product, d, places, root: fround(1 / (2 * H)) });
      this.size = places * (d + 1) + 1;
      this.qk = new Float32Array(2 * d);
      this.window = new Float32Array(bias.length);
      this.said = new Float32Array(symbols);
    }

    // The parts of the end of a state.
    partsOf(state) {
      const { places, d, size } = this, at = state.length - size;
      return {
        keys: state.subarray(at, at + places * d),
        read: state.subarray(at + places * d, at + places * (d + 1)),
        place: state.subarray(state.length - 1),
      };
    }

    // Note the key of an output x, and the symbol that was read before it.
    note(state, id, x) {
      const { keys, read, place } = this.partsOf(state), { d, qk, places } = this;
      qk.fill(0);
      this.product.addTo(qk, 0, x);
      keys.set(qk.subarray(d), place[0] * d);
      read[place[0]] = id + 1;
      place[0] = (place[0] + 1) % places;
      this.state = state;
    }

    // How much each symbol is copied after the last one that was noted, (V,), until the next call,
    // beside e^logits: logits (V,) become those less a constant.
    lookBack(logits) {
      const { keys, read, place: [oldest] } = this.partsOf(this.state);
      const { bias, window, said, qk, d, places, root } = this, M = bias.length;
      const placeOf = (j) => (oldest + j) % places;
      let begin = 0, largest = -Infinity;
      while (begin < M && read[placeOf(begin)] === 0) begin++;
      for (const number of logits) largest = max(largest, number);
      for (let j = begin; j < M; j++) {
        window[j] = fround(productOf(qk, d, keys, placeOf(j) * d) * root) + bias[j];
        largest = max(largest, window[j]);
      }
      said.fill(0);
      for (let j = begin; j < M; j++) {
        said[read[placeOf(j + 1)] - 1] += exp(fround(window[j] - largest));
      }
      for (let v = 0; v < logits.length; v++) logits[v] -= largest;
      return said;
    }
  }

  // said = said^(1 / degree), times what leaves its sum as it is.
  function sharpen(said, degree) {
    let largest = 0, before = 0, after = 0;
    for (const number of said) largest = max(largest, number);
    for (let v = 0; v < said.length; v++) {
      if (said[v] > 0) {
        before += said[v];
        said[v] = toE(log(said[v] / largest) / degree);
        after += said[v];
      }
    }
    for (let v = 0; v < said.length; v++) said[v] *= before / after;
  }

  // Logits for a temperature, (V,), of what is expected: logits `own` and what is copied, `said`,
  // or null.
  function blended({ own, said }, temperature) {
    if (said === null) return own.slice();
    const degree = max(COLD, min(fround(temperature), 1)), copied = said.slice();
    let largest = -Infinity, total = 0, sharp = 0;
    for (const number of own) largest = max(largest, number);
    const shares = own.map((number) => exp(fround(number - largest)));
    for (const share of shares) total += share;
    const sharpened = degree < 1
      ? own.map((number) => exp(fround(fround(number - largest) / degree))) : shares;
    for (const share of sharpened) sharp += share;
    if (degree < 1 && copied.some((number) => number > 0)) sharpen(copied, degree);
    const lead = largest + log(total / sharp), factor = toE(lead);
    return own.map((number, v) => degree * (copied[v] > 0
      ? log(sharpened[v] * factor + copied[v]) : fround(number - largest) / degree + lead));
  }

  Object.assign(globalThis, { Attention, blended });
}
