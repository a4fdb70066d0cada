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
        SUMS[lane] += q[k + lane] * keys[at + k + lane];
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
      this.copied = new Float32Array(symbols);
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
      const { bias, window, copied, qk, d, places, root } = this, M = bias.length;
      const placeOf = (j) => (oldest + j) % places;
      let begin = 0, largest = -Infinity;
      while (begin < M && read[placeOf(begin)] === 0) begin++;
      for (const number of logits) largest = max(largest, number);
      for (let j = begin; j < M; j++) {
        window[j] = fround(productOf(qk, d, keys, placeOf(j) * d) * root) + bias[j];
        largest = max(largest, window[j]);
      }
      copied.fill(0);
      for (let j = begin; j < M; j++) {
        copied[read[placeOf(j + 1)] - 1] += exp(fround(window[j] - largest));
      }
      for (let v = 0; v < logits.length; v++) logits[v] -= largest;
      return copied;
    }
  }

  // What is copied becomes the logarithm of its power 1 / T; returns what is to be added to that so
  // that the sum of the powers is what it was.
  function sharpen(copied, T) {
    let largest = 0, before = 0, after = 0;
    for (const number of copied) largest = max(largest, number);
    for (let v = 0; v < copied.length; v++) {
      before += copied[v];
      const power = copied[v] > 0 ? log(copied[v] / largest) / T : -Infinity;
      copied[v] = power;
      after += toE(power);
    }
    return before > 0 ? log(before / after) : 0;
  }

  // Logits (V,) for a temperature, of logits `own` and what is copied, or null: kernels/blending.py.
  function blended({ own, copied }, temperature) {
    if (copied === null) return own.slice();
    const T = max(COLD, min(fround(temperature), 1));
    let largest = -Infinity, total = 0, sharp = 0;
    for (const number of own) largest = max(largest, number);
    const shares = own.map((number) => exp(fround(number - largest)));
    for (const share of shares) total += share;
    if (T === 1) {
      const factor = toE(largest);
      return own.map((number, v) => (copied[v] > 0 ? log(shares[v] * factor + copied[v]) : number));
    }
    for (const number of own) sharp += exp(fround(fround(number - largest) / T));
    const others = copied.slice(), lead = largest + log(total / sharp), its = sharpen(others, T);
    return own.map((number, v) => {
      const said = fround(number - largest) / T + lead, other = others[v] + its;
      const both = max(said, other);
      return T * (both + log(1 + toE(min(said, other) - both)));
    });
  }

  Object.assign(globalThis, { Attention, blended });
}
