"use strict";
// The rounds of the Mogrifier before each step of the lowest layer, in which its input x, an
// embedding, and its state h scale each other in turn (kernels/mogrifying.py).
{
  const { max } = Math;
  const { sigmoid } = globalThis.cells;

  // vectors: the embeddings (V, E). rounds: products with (E, H) and (H, E) in turn.
  class Mogrifier {
    constructor(vectors, E, H, rounds) {
      Object.assign(this, { vectors, E, rounds });
      this.x = new Float32Array(E); // what is left of both after a run
      this.h = new Float32Array(H);
      this.scale = new Float32Array(max(E, H) + 8); // a product may write 7 more
    }

    // All rounds for a symbol and a state h (H,), which stays as it is.
    run(id, h) {
      const { E, x, scale } = this;
      x.set(this.vectors.subarray(id * E, (id + 1) * E));
      this.h.set(h);
      this.rounds.forEach((product, r) => {
        const [read, scaled] = r % 2 ? [x, this.h] : [this.h, x];
        scale.fill(0);
        product.addTo(scale, 0, read);
        // twice a float32 is exact, so that each product is rounded once
        for (let u = 0; u < scaled.length; u++) scaled[u] *= 2 * sigmoid(scale[u]);
      });
    }
  }

  globalThis.Mogrifier = Mogrifier;
}
