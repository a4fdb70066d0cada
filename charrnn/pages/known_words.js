"use strict";
// Known words: texts in which every word stood in a text, as an automaton over the network's ids
// (generation/lexicon.py makes it).
{
  const JOINERS = "'’\\-‐‑·._";
  const FREE = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}" +
    "\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}\\p{Script=Bopomofo}";
  const INNER = "\\p{L}\\p{M}\\p{N}\\xad\\u200c\\u200d\\ufffd";
  const FIRST_INNER = new RegExp(`^[${INNER}]`, "u");
  const CONTEXT = 1000; // characters of a text that are read

  // A word, a character of a script without spaces, or what stands between.
  const letter = `(?:(?![${FREE}])[${INNER}])`;
  const TOKEN = new RegExp(
    `${letter}+(?:[${JOINERS}]${letter}+)*|(?=[${INNER}])[${FREE}]|[^${INNER}]+`, "gu");

  class KnownWords {
    constructor({ start, counts, symbols, targets, distance }, vocabulary) {
      const numbers = (data) => new Int32Array(bytesOf(data).buffer);
      Object.assign(this, { start, vocabulary });
      [this.symbols, this.targets, this.distance] = [symbols, targets, distance].map(numbers);
      this.first = [0];
      for (const count of numbers(counts)) this.first.push(this.first.at(-1) + count);
    }

    // The state after a state and a symbol, -1 if the symbol may not follow.
    follow(state, id) {
      for (let e = this.first[state]; e < this.first[state + 1]; e++) {
        if (this.symbols[e] === id) return this.targets[e];
      }
      return -1;
    }

    // The state after a text, whose last word may go on.
    after(text) {
      const tokens = Array.from(text).slice(-CONTEXT).join("").match(TOKEN) || [];
      let state = this.start;
      for (const token of tokens.slice(-3)) {
        for (const symbol of this.vocabulary.symbolsOf(token)) {
          state = this.follow(state, this.vocabulary.index.get(symbol) ?? -1);
        }
        // a word that is not known: after another word, or as at the start
        if (state < 0) state = this.start + Number(FIRST_INNER.test(token));
      }
      return state;
    }

    mayEnd(state) { return this.distance[state] === 0; }

    // row, logits, becomes -inf where a symbol may not follow, or where no text of `left` symbols
    // would be complete; false if none may follow.
    constrain(row, state, left) {
      const logits = row.slice();
      let isAny = false;
      row.fill(-Infinity);
      for (let e = this.first[state]; e < this.first[state + 1]; e++) {
        if (this.distance[this.targets[e]] < left) {
          row[this.symbols[e]] = logits[this.symbols[e]];
          isAny ||= row[this.symbols[e]] > -Infinity;
        }
      }
      return isAny;
    }
  }

  Object.assign(globalThis, { KnownWords });
}
