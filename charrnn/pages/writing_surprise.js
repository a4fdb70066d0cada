"use strict";
// The surprise of the written text: its colors, a summary in words, and what the network expected at
// the cursor.
(() => {
  const { nameOf, shortened, surpriseOf, summaryOf } = globalThis.charrnn;
  const SCORE_AFTER = 400, EXPECT_AFTER = 250; // milliseconds without a key
  const PLAIN = {
    temperature: 1, topK: 0, topP: 1, minP: 0, until: null, length: 1, seed: 0, take: 1,
    knownWords: false, start: 0,
  };
  const byId = (id) => document.getElementById(id);
  const bare = (word) => word.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}\p{M}]+$/gu, "") || word;
  const oneIn = (nats) => "1 in " + Math.max(1, Math.round(Math.exp(nats))).toLocaleString("en");

  class Surprise {
    #editor;
    #backend;
    #unit;
    #onError;
    #isOn = false;
    #scored = null;
    #scoring = new AbortController();
    #asking = new AbortController();

    constructor(editor, backend, unit, onError) {
      this.#editor = editor;
      this.#backend = backend;
      this.#unit = unit;
      this.#onError = onError;
    }

    turn(isOn) {
      this.#isOn = isOn;
      byId("surprise").hidden = !isOn;
      if (isOn) return this.edited(0);
      this.#scoring.abort();
      this.#asking.abort();
      this.#editor.color(this.#scored = null);
    }

    // The text has changed: score it after a pause.
    edited(pause = SCORE_AFTER) {
      this.#scoring.abort();
      if (!this.#isOn) return;
      const { signal } = this.#scoring = new AbortController();
      setTimeout(() => signal.aborted || this.#score(signal), pause);
    }

    async #score(signal) {
      const text = this.#editor.text;
      try {
        const scored = await this.#backend.score(text, { signal });
        if (signal.aborted) return;
        this.#scored = surpriseOf(text, scored, this.#unit);
        this.#editor.color(this.#scored);
        this.#summarize(scored.unknown);
        this.moved();
      } catch (error) {
        if (!signal.aborted) this.#onError(error);
      }
    }

    #summarize(unknown) {
      const { text } = this.#scored, { characters, mean, isPart, words } = summaryOf(this.#scored, 5);
      const size = (isPart ? "The last " : "") + characters.toLocaleString("en") +
        (characters === 1 ? " character" : " characters");
      const sentences = [
        !text && "There is no text yet.",
        characters && size + ": " + mean.toFixed(2) + " nats each (" +
          (mean / Math.LN2).toFixed(2) + " bits).",
        unknown.length && "Not in the network\u2019s vocabulary: " +
          unknown.map((symbol) => nameOf(symbol, this.#unit)).join(", ") + ".",
        words.length && "Most surprising:",
      ];
      byId("surprise-summary").textContent = sentences.filter(Boolean).join(" ");
      byId("surprise-words").replaceChildren(...words.map((word) => {
        const item = document.createElement("li"), button = document.createElement("button");
        const line = text.slice(0, word.start).split("\n").length;
        button.type = "button";
        button.textContent = shortened(bare(text.slice(word.start, word.end)), 40) +
          " (line " + line + ", " + word.nats.toFixed(1) + " nats)";
        button.addEventListener("click", () => this.#editor.select(word.start, word.end));
        item.append(button);
        return item;
      }));
    }

    // The cursor has moved: say what the network expects there, after a pause.
    moved() {
      this.#asking.abort();
      if (!this.#isOn) return;
      const { signal } = this.#asking = new AbortController();
      setTimeout(() => signal.aborted || this.#expect(signal), EXPECT_AFTER);
    }

    async #expect(signal) {
      const { before, text, end } = this.#editor;
      try {
        const likely = await this.#backend.next(before, PLAIN, 5, { signal });
        if (signal.aborted) return;
        const scored = this.#scored, nats = scored && scored.text === text ? scored.nats[end] : -1;
        const here = nats >= 0
          ? nameOf(String.fromCodePoint(text.codePointAt(end))) + " after the cursor: " +
            nats.toFixed(2) + " nats, " + oneIn(nats) + ". " : "";
        byId("surprise-here").textContent = here + "Most probable at the cursor: " +
          likely.map((each) => nameOf(each.text, this.#unit) + " " +
            (Math.round(100 * each.probability) || "< 1") + " %").join(", ") + ".";
      } catch (error) {
        if (!signal.aborted) this.#onError(error);
      }
    }
  }

  globalThis.charrnn.Surprise = Surprise;
})();
