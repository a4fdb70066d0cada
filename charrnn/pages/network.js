"use strict";
// The network: its weights, and one step of it. Every number is a float32, and every sum is the
// same chain of multiply-adds as in charrnn's own kernels: Math.fround(a * b + c) is a fused one,
// since the product of two float32 is exact in float64; of int8, it is a sum of integers. So it
// writes what charrnn writes.
{
  const { abs, ceil, fround, imul, log2, max, min } = Math;
  const ROWS = 8, SUMS = new Float32Array(ROWS), WHOLE = 1.5 * 2 ** 23;
  const FLOAT = new Float32Array(1), WORD = new Uint32Array(FLOAT.buffer);
  const { CELLS, LANES, NONLINEARITIES, fma, normalize, sigmoid } = globalThis.cells;
  const padded = (size) => ceil(size / LANES) * LANES;

  function bytesOf(base64) {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
    return bytes;
  }

  // A tensor's numbers, row after row: float32, or bf16, the upper halves of float32.
  function floatsOf({ kind, data }) {
    const bytes = bytesOf(data);
    if (kind === "float32") return new Float32Array(bytes.buffer);
    const halves = new Uint16Array(bytes.buffer);
    return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
  }

  const upTo = (count) => Array.from({ length: count }, (_, n) => n);

  // The chosen rows of a matrix (R, K), eight side by side, for products with a vector.
  function panelsOf(matrix, columns, chosen) {
    const panels = new matrix.constructor(ceil(chosen.length / ROWS) * ROWS * columns);
    chosen.forEach((row, n) => {
      const first = (n - n % ROWS) * columns + n % ROWS;
      for (let k = 0; k < columns; k++) panels[first + k * ROWS] = matrix[row * columns + k];
    });
    return panels;
  }

  function productOf(tensor, columns, chosen) {
    return new (tensor.kind === "int8" ? WholeProduct : Product)(tensor, columns, chosen);
  }

  // Rows of a matrix in float32.
  class Product {
    constructor(tensor, columns, chosen) {
      this.columns = columns;
      this.rows = chosen.length;
      this.panels = panelsOf(floatsOf(tensor), columns, chosen);
    }

    // z[at + n] += the sum of row n times x, for all rows, each in the order of k.
    addTo(z, at, x) {
      const panels = this.panels, depth = this.columns, end = at + this.rows;
      let w = 0;
      for (let r = at; r < end; r += 8) {
        let s0 = z[r], s1 = z[r + 1], s2 = z[r + 2], s3 = z[r + 3];
        let s4 = z[r + 4], s5 = z[r + 5], s6 = z[r + 6], s7 = z[r + 7];
        for (let k = 0; k < depth; k++, w += 8) {
          const a = x[k];
          s0 = fround(s0 + a * panels[w]);
          s1 = fround(s1 + a * panels[w + 1]);
          s2 = fround(s2 + a * panels[w + 2]);
          s3 = fround(s3 + a * panels[w + 3]);
          s4 = fround(s4 + a * panels[w + 4]);
          s5 = fround(s5 + a * panels[w + 5]);
          s6 = fround(s6 + a * panels[w + 6]);
          s7 = fround(s7 + a * panels[w + 7]);
        }
        z[r] = s0; z[r + 1] = s1; z[r + 2] = s2; z[r + 3] = s3;
        z[r + 4] = s4; z[r + 5] = s5; z[r + 6] = s6; z[r + 7] = s7;
      }
    }
  }

  // Rows of a matrix in int8, each with a scale; the vector is rounded to whole numbers, too
  // (kernels/int8_product.py).
  class WholeProduct {
    constructor(tensor, columns, chosen) {
      const scales = new Float32Array(bytesOf(tensor.scales).buffer);
      this.columns = columns;
      this.rows = chosen.length;
      this.panels = panelsOf(new Int8Array(bytesOf(tensor.data).buffer), columns, chosen);
      this.scales = Float32Array.from(chosen, (row) => scales[row]);
      this.numbers = new Int32Array(columns);
      this.bits = min(14, 24 - ceil(log2(padded(columns))));
    }

    // The numbers of x, and the unit that they count.
    rounded(x) {
      const { numbers, columns: depth, bits } = this;
      let largest = 0;
      for (let k = 0; k < depth; k++) largest = max(largest, abs(x[k]));
      FLOAT[0] = largest;
      const exponent = max(WORD[0] >>> 23, 14), factor = 2 ** (bits + 126 - exponent);
      for (let k = 0; k < depth; k++) numbers[k] = fround(fround(x[k] * factor) + WHOLE) - WHOLE;
      return exponent < 255 ? 1 / factor : NaN;
    }

    // z[at + n] += the sum of row n times x, for all rows.
    addTo(z, at, x) {
      const { panels, numbers, scales, columns: depth } = this, unit = this.rounded(x);
      const sums = SUMS, end = at + this.rows;
      let w = 0;
      for (let r = at; r < end; r += 8) {
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
        for (let k = 0; k < depth; k++, w += 8) {
          const a = numbers[k];
          s0 = s0 + imul(a, panels[w]) | 0;
          s1 = s1 + imul(a, panels[w + 1]) | 0;
          s2 = s2 + imul(a, panels[w + 2]) | 0;
          s3 = s3 + imul(a, panels[w + 3]) | 0;
          s4 = s4 + imul(a, panels[w + 4]) | 0;
          s5 = s5 + imul(a, panels[w + 5]) | 0;
          s6 = s6 + imul(a, panels[w + 6]) | 0;
          s7 = s7 + imul(a, panels[w + 7]) | 0;
        }
        sums[0] = s0; sums[1] = s1; sums[2] = s2; sums[3] = s3;
        sums[4] = s4; sums[5] = s5; sums[6] = s6; sums[7] = s7;
        for (let n = 0; n < 8 && r + n < end; n++) {
          const scale = fround(scales[r - at + n] * unit);
          z[r + n] = fround(z[r + n] + fround(scale * sums[n]));
        }
      }
    }
  }

  // A network; `about` is one of `networks` of the page's data (export/html.py).
  class Network {
    constructor(about) {
      const { tensors, layers, hidden: H, embedding: E, symbols } = about;
      const cell = about.cell, G = cell.gates.length, width = padded(H);
      const read = (name) => floatsOf(tensors[name]);
      const blocks = (gates, disk) => gates.flatMap(
        (gate) => Array.from({ length: H }, (_, u) => disk.indexOf(gate) * H + u));
      const fed = blocks(cell.gates.slice(0, cell.input.length), cell.input);
      const own = blocks(cell.gates.slice(G - cell.recurrent.length), cell.recurrent);
      const direct = own.length - cell.gated * H;
      Object.assign(this, { about, symbols, H, width, size: 2 * layers * width });
      this.advance = CELLS[cell.name];
      this.phi = NONLINEARITIES[about.activation];
      this.firstRecurrent = G * H - own.length;
      this.firstGated = this.firstRecurrent + direct;
      this.layers = Array.from({ length: layers }, (_, l) => {
        const W_h = tensors[`rnn.weight_hh_l${l}`], bias = new Float32Array(G * H);
        const b = read(`rnn.bias_ih_l${l}`);
        fed.forEach((row, n) => { bias[n] = b[row]; });
        if (fed.length < G * H) {
          const second = read(`rnn.bias_hh_l${l}`);
          for (let n = fed.length; n < G * H; n++) bias[n] = second[own[n - this.firstRecurrent]];
        }
        const name = l + 1 < layers ? `decoder.weight_l${l}` : "decoder.weight";
        const all = upTo(symbols), looksUp = l === 0 && !about.mogrifier;
        return {
          bias,
          up: looksUp ? null : productOf(tensors[`rnn.weight_ih_l${l}`], l ? H : E, fed),
          over: productOf(W_h, H, own.slice(0, direct)),
          second: cell.gated && productOf(W_h, H, own.slice(direct)),
          out: tensors[name] && productOf(tensors[name], H, all),
          p: tensors[`vectors_l${l}`] ? read(`vectors_l${l}`) : null,
          x: new Float32Array(width),
        };
      });
      this.mogrifier = about.mogrifier ? this.mogrifierOf(tensors, read) : null;
      this.table = this.mogrifier ? null : this.lookedUp(read, fed);
      this.fed = fed.length;
      this.memory = tensors["rnn.memory.weight"] ? read("rnn.memory.weight") : null;
      this.outBias = read("decoder.bias");
      this.z = new Float32Array(G * H + ROWS);
      this.q = new Float32Array(width);
      this.y = new Float32Array(width);
      this.m = Array.from({ length: layers + 1 }, () => new Float32Array(width));
      this.logits = new Float32Array(symbols + ROWS);
      this.attention = null;
      if (about.attention) {
        const weight = tensors["attention.weight"], every = upTo(weight.shape[0]);
        const bias = read("attention.biases");
        this.attention = new Attention(bias, productOf(weight, H, every), H, symbols);
        this.size += this.attention.size;
      }
      this.before = new Float32Array(width);
      this.keepH = fround(about.zoneout_h);
      this.keepC = fround(about.zoneout_c);
    }

    mogrifierOf(tensors, read) {
      const { mogrifier, embedding: E, hidden: H } = this.about;
      const rounds = upTo(mogrifier).map((r) => {
        const matrix = tensors[`rnn.weight_m${r + 1}_l0`], [rows, columns] = matrix.shape;
        return productOf(matrix, columns, upTo(rows));
      });
      return new Mogrifier(read("embedding.weight"), E, H, rounds);
    }

    // (V, X): what each symbol adds to z of the first layer, unless rounds come before that.
    lookedUp(read, fed) {
      const weight = read("rnn.weight_ih_l0"), V = this.symbols, E = this.about.embedding;
      const table = new Float32Array(V * fed.length), vectors = E ? read("embedding.weight") : null;
      for (let v = 0; v < V; v++) {
        for (let n = 0; n < fed.length; n++) {
          let sum = E ? 0 : weight[fed[n] * V + v];
          for (let e = 0; e < E; e++) {
            sum = fround(sum + vectors[v * E + e] * weight[fed[n] * E + e]);
          }
          table[v * fed.length + n] = sum;
        }
      }
      return table;
    }

    // h or c of a layer in a state: all h, then all c.
    part(state, which, layer) {
      const at = (which * this.layers.length + layer) * this.width;
      return state.subarray(at, at + this.width);
    }

    // Read a symbol: the state (size,) becomes the one after it.
    step(state, id) {
      const { H, about, mogrifier, z, q, y, m, before } = this;
      if (this.memory) m[0].set(this.memory.subarray(id * H, (id + 1) * H));
      this.layers.forEach((layer, l) => {
        const h = this.part(state, 0, l), c = this.part(state, 1, l), { x } = layer;
        let lastH = h;
        z.set(layer.bias);
        if (l) {
          layer.up.addTo(z, 0, this.layers[l - 1].x);
        } else if (mogrifier) {
          mogrifier.run(id, h.subarray(0, H));
          layer.up.addTo(z, 0, mogrifier.x);
          lastH = mogrifier.h;
        } else {
          for (let n = 0, at = id * this.fed; n < this.fed; n++) z[n] += this.table[at + n];
        }
        layer.over.addTo(z, this.firstRecurrent, lastH);
        if (layer.second) { // the cell `gru`: q = r * h'
          for (let u = 0; u < H; u++) q[u] = fround(sigmoid(z[u]) * h[u]);
          layer.second.addTo(z, this.firstGated, q);
        }
        const cell = { H, phi: this.phi, z, h, c, y, m: m[l + 1], below: m[l], p: layer.p };
        if (this.keepH || this.keepC) before.set(h);
        const memory = this.keepC ? c.slice() : null;
        this.advance(cell);
        if (this.keepH) this.keepSome(before, h, this.keepH);
        if (this.keepC) this.keepSome(memory, c, this.keepC);
        const output = about.cell.hasOutput ? y : h;
        if (about.layer_norm) normalize(x, output, H); else x.set(output);
        if (about.residual && l) {
          const { x: below } = this.layers[l - 1];
          for (let u = 0; u < H; u++) x[u] += below[u];
        }
      });
      if (this.attention) this.attention.note(state, id, this.layers.at(-1).x);
    }

    // Zoneout's expected value (Krueger et al. 2017).
    keepSome(old, now, keep) {
      for (let u = 0; u < this.H; u++) now[u] = fma(keep, fround(old[u] - now[u]), now[u]);
    }

    // What is expected after the last step, until the next call: log p of the next symbol is
    // log(e^own + copied), plus a constant; copied, what attention copies, may be null; both (V,).
    predict() {
      const { logits, layers } = this;
      logits.set(this.outBias);
      for (const layer of layers) if (layer.out) layer.out.addTo(logits, 0, layer.x);
      const own = logits.subarray(0, this.symbols);
      return { own, copied: this.attention && this.attention.lookBack(own) };
    }
  }

  Object.assign(globalThis, { Network, bytesOf, floatsOf });
}
