"use strict";
// Several networks that write together, with the methods of one: each symbol has the mean of their
// probabilities. A state is theirs, one after the other, and so are the layers.
{
  const { exp: toE, fround, log, max } = Math;
  const LEAST = 1e-300; // before the logarithm

  class Mixture {
    constructor(members) {
      const [{ H, symbols, size }] = members, layers = members.flatMap((each) => each.layers);
      Object.assign(this, { members, H, layers, memberSize: size, size: members.length * size });
      this.mean = new Float64Array(symbols);
      this.chances = new Float64Array(symbols);
      this.meanCopied = new Float64Array(symbols);
      this.copied = new Float32Array(symbols);
      this.logits = new Float32Array(symbols);
    }

    stateOf(state, n) { return state.subarray(n * this.memberSize, (n + 1) * this.memberSize); }

    part(state, which, layer) {
      const L = this.layers.length / this.members.length, n = Math.floor(layer / L);
      return this.members[n].part(this.stateOf(state, n), which, layer % L);
    }

    step(state, id) {
      this.members.forEach((each, n) => each.step(this.stateOf(state, n), id));
    }

    // What the mean of the distributions expects: generation/outlook.py.
    predict() {
      const { mean, chances, meanCopied, members, logits } = this;
      let copied = null;
      mean.fill(0);
      meanCopied.fill(0);
      for (const each of members) {
        const { own: row, copied: its } = each.predict();
        let largest = -Infinity, total = 0;
        for (const logit of row) if (!(logit <= largest)) largest = logit;
        const shift = its ? 0 : largest;
        for (let v = 0; v < row.length; v++) total += chances[v] = toE(row[v] - shift);
        if (its) for (const number of its) total += number;
        const weight = 1 / members.length / total;
        for (let v = 0; v < row.length; v++) mean[v] += chances[v] * weight;
        if (its) {
          copied = this.copied;
          for (let v = 0; v < row.length; v++) meanCopied[v] += its[v] * weight;
        }
      }
      for (let v = 0; v < logits.length; v++) logits[v] = fround(log(max(mean[v], LEAST)));
      if (copied) copied.set(meanCopied);
      return { own: logits, copied };
    }
  }

  globalThis.networkOf = (about) => {
    const members = about.map((each) => new Network(each));
    return members.length === 1 ? members[0] : new Mixture(members);
  };
}
