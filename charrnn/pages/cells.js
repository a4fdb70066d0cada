"use strict";
// The equations of the cells, of their nonlinearities and of layer normalization, with the same
// operations in the same order as charrnn's kernels: each is rounded to float32.
{
  const { fround, abs, sqrt, max } = Math;
  const LANES = 16;

  // tanh(x) = x P(x x) / Q(x x), and sigmoid(x) = 1/2 + tanh(x / 2) / 2: compiler/lanes.py.
  const P = [0.99999998, 0.13381033393, 3.4955970427e-3, 2.0609218729e-5, 1.3354832390e-8];
  const Q = [1.0, 0.46714349012, 0.025877016847, 3.2856489423e-4, 7.7766320371e-7];
  const [P0, P1, P2, P3, P4] = P.map(fround), [Q0, Q1, Q2, Q3, Q4] = Q.map(fround);
  const [HALF_P0, HALF_P1, HALF_P2, HALF_P3, HALF_P4] = P.map((p, k) => fround(p / 4 ** (k + 1)));
  const [HALF_Q0, HALF_Q1, HALF_Q2, HALF_Q3, HALF_Q4] = Q.map((q, k) => fround(q / 4 ** k));
  const fma = (a, b, c) => fround(a * b + c);

  function tanh(x) {
    const square = fround(x * x), u = square > 81 ? 81 : square;
    const p = fma(fma(fma(fma(P4, u, P3), u, P2), u, P1), u, P0);
    const q = fma(fma(fma(fma(Q4, u, Q3), u, Q2), u, Q1), u, Q0);
    const y = fround(fround(x * p) / q);
    return y > 1 ? 1 : y < -1 ? -1 : y;
  }

  function sigmoid(x) {
    const square = fround(x * x), u = square > 324 ? 324 : square;
    const p = fma(fma(fma(fma(HALF_P4, u, HALF_P3), u, HALF_P2), u, HALF_P1), u, HALF_P0);
    const q = fma(fma(fma(fma(HALF_Q4, u, HALF_Q3), u, HALF_Q2), u, HALF_Q1), u, HALF_Q0);
    const y = fround(fround(x * p) / q);
    return fround((y > 0.5 ? 0.5 : y < -0.5 ? -0.5 : y) + 0.5);
  }

  // e^x for x <= 0: compiler/lanes.py.
  const LOG2_E = fround(1.4426950408889634), LN2_HIGH = fround(0.693359375);
  const LN2_LOW = fround(-2.12194440e-4), SHIFT = fround(1.5 * 2 ** 23 + 127);
  const E = [1, 1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720].map(fround);
  function exp(x) {
    if (x < -87) return 0;
    const n = fround(fma(x, LOG2_E, SHIFT) - SHIFT);
    const r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x));
    let sum = E[6];
    for (let k = 5; k >= 0; k--) sum = fma(sum, r, E[k]);
    return fround(sum * 2 ** n);
  }

  const NONLINEARITIES = {
    tanh,
    softsign: (x) => fround(x / fround(1 + abs(x))),
    relu: (x) => x < 0 ? 0 : x,
  };

  // The cells: network/cells/*.py. Each takes z, the pre-activations in blocks of H, makes h and c
  // of those of the step before, in place, and may write y and m, which go up to the next layer.
  const CELLS = {
    lstm({ H, phi, z, h, c }) {
      for (let u = 0; u < H; u++) {
        const g = phi(z[2 * H + u]);
        c[u] = fma(sigmoid(z[H + u]), c[u], fround(sigmoid(z[u]) * g));
        h[u] = fround(sigmoid(z[3 * H + u]) * phi(c[u]));
      }
    },
    peephole({ H, phi, z, h, c, m, p }) {
      for (let u = 0; u < H; u++) {
        const i = sigmoid(fma(p[u], c[u], z[u])), f = sigmoid(fma(p[H + u], c[u], z[H + u]));
        c[u] = m[u] = fma(f, c[u], fround(i * phi(z[2 * H + u])));
        h[u] = fround(sigmoid(fma(p[2 * H + u], c[u], z[3 * H + u])) * phi(c[u]));
      }
    },
    coupled({ H, phi, z, h, c }) {
      for (let u = 0; u < H; u++) {
        const g = phi(z[H + u]);
        c[u] = fma(sigmoid(z[u]), fround(c[u] - g), g);
        h[u] = fround(sigmoid(z[2 * H + u]) * phi(c[u]));
      }
    },
    gru({ H, phi, z, h }) {
      for (let u = 0; u < H; u++) {
        const n = phi(z[2 * H + u]);
        h[u] = fma(sigmoid(z[H + u]), fround(h[u] - n), n);
      }
    },
    "gru-after"({ H, phi, z, h }) { // in memory the blocks are n, r, u, k
      for (let u = 0; u < H; u++) {
        const n = phi(fma(sigmoid(z[H + u]), z[3 * H + u], z[u]));
        h[u] = fma(sigmoid(z[2 * H + u]), fround(h[u] - n), n);
      }
    },
    rnn({ H, phi, z, h }) {
      for (let u = 0; u < H; u++) h[u] = phi(z[u]);
    },
    clockwork({ H, phi, z, h, c, p }) { // p: the period of each unit
      for (let u = 0; u < H; u++) {
        if (!(c[u] > 0)) h[u] = phi(z[u]);
        const passed = c[u] + 1;
        c[u] = passed < p[u] ? passed : 0;
      }
    },
    "depth-gated"({ H, phi, z, h, c, m, below, p }) {
      for (let u = 0; u < H; u++) {
        const along = fma(p[3 * H + u], c[u], z[u]);
        const d = sigmoid(fma(p[4 * H + u], below[u], along));
        const i = sigmoid(fma(p[u], c[u], z[H + u]));
        const f = sigmoid(fma(p[H + u], c[u], z[2 * H + u]));
        const kept = fma(f, c[u], fround(i * phi(z[3 * H + u])));
        c[u] = m[u] = fma(d, below[u], kept);
        h[u] = fround(sigmoid(fma(p[2 * H + u], c[u], z[4 * H + u])) * phi(c[u]));
      }
    },
    grid({ H, phi, z, h, c, m, below, y }) {
      for (let u = 0; u < H; u++) {
        const g = phi(z[2 * H + u]), up = phi(z[6 * H + u]);
        c[u] = fma(sigmoid(z[H + u]), c[u], fround(sigmoid(z[u]) * g));
        h[u] = phi(fround(sigmoid(z[3 * H + u]) * c[u]));
        m[u] = fma(sigmoid(z[5 * H + u]), below[u], fround(sigmoid(z[4 * H + u]) * up));
        y[u] = phi(fround(sigmoid(z[7 * H + u]) * m[u]));
      }
    },
  };

  // A sum of float64 as the kernels add: 16 partial sums, which are then added by halves.
  const partial = new Float64Array(LANES);
  function total() {
    for (let half = LANES / 2; half >= 1; half /= 2) {
      for (let lane = 0; lane < half; lane++) partial[lane] += partial[lane + half];
    }
    return partial[0];
  }

  // x = y normalized over its first H numbers (Ba, Kiros & Hinton 2016); y is padded with zeros.
  function normalize(x, y, H) {
    const width = y.length;
    partial.fill(0);
    for (let u = 0; u < width; u++) partial[u % LANES] += y[u];
    const mean = fround(total() / H);
    partial.fill(0);
    for (let u = 0; u < width; u++) {
      const d = fround(y[u] - mean);
      partial[u % LANES] += d * d;
    }
    const variance = max(total() - mean * mean * (width - H), 0) / H;
    const r = fround(1 / sqrt(variance + 1e-5));
    for (let u = 0; u < H; u++) x[u] = fround(fround(y[u] - mean) * r);
  }

  globalThis.cells = { CELLS, LANES, NONLINEARITIES, exp, fma, normalize, sigmoid };
}
