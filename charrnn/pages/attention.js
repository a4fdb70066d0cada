"use strict";
// Attention over the symbols that were read last, as charrnn looks back when it writes
// (kernels/attention.py).
{
  const { exp: toE, fround, log, max } = Math;
  const { LANES, exp } = globalThis.cells, SUMS = new Float32Array(LANES);

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

    // Logits (V,) after the last symbol that was noted become those after a look back.
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
      for (let v = 0; v < logits.length; v++) {
        if (said[v] > 0) logits[v] = largest + log(toE(fround(logits[v] - largest)) + said[v]);
      }
    }
  }

  globalThis.Attention = Attention;
}
