"use strict";
// The suggestion after the cursor: asked for after a pause, dropped as soon as something else is
// typed, kept as long as the typing follows it.
(() => {
  const { firstWord, withNewlines } = globalThis.charrnn;
  const PAUSE = 180; // milliseconds without a key
  const MOST = 120; // symbols of a suggestion

  class Suggestion {
    #editor;
    #backend;
    #settings;
    #show;
    #onError;
    #now = null; // {before, text, take, isWhole}: what follows `before`
    #next = null; // {before, take} once one was taken whole: what is suggested behind it
    #dropped = null; // the text before the cursor where none is wanted
    #asking = new AbortController();
    #count = 0;
    isOn = false;

    // settings() are those of the writing, `until` being how far a suggestion goes;
    // show(text, isWhole) is called with each change of it.
    constructor({ editor, backend, settings, show, onError }) {
      this.#editor = editor;
      this.#backend = backend;
      this.#settings = settings;
      this.#show = show;
      this.#onError = onError;
    }

    // What is left of the suggestion after the cursor.
    get text() {
      const { before } = this.#editor, now = this.#now;
      const follows = now && before.startsWith(now.before) &&
        (now.before + now.text).startsWith(before);
      return follows ? now.text.slice(before.length - now.before.length) : "";
    }

    // The text or the cursor has changed, or the settings.
    follow() {
      const { before, hasSelection, area } = this.#editor, now = this.#now;
      if (before !== this.#dropped) this.#dropped = null;
      const focus = document.activeElement || document.body;
      const isWriting = (focus === area || focus.matches("[data-keep]")) && !this.#isComposing;
      if (!this.isOn || hasSelection || !isWriting || this.#dropped !== null) return this.clear();
      const rest = this.text; // of one that is for here, even if nothing has come of it yet or at all
      if (rest || (now && now.before === before)) return this.#show(rest, now.isWhole);
      const wasTaken = now && now.isWhole && before === now.before + now.text;
      this.clear();
      if (wasTaken) this.#next = { before, take: now.take + 1 }; // the same draws often repeat it
      if (this.#next && this.#next.before === before) this.#ask(this.#next.take, 0);
      else this.#ask(this.#settings().take, PAUSE);
    }

    // Text that an input method is still composing is not final. (Phones compose every word.)
    get #isComposing() {
      return this.#editor.isComposing && !matchMedia("(pointer: coarse)").matches;
    }

    // No suggestion, until the text or the cursor changes.
    clear() {
      this.#asking.abort();
      this.#now = null;
      this.#show("", true);
    }

    // The person does not want it.
    drop() {
      if (!this.text) return;
      this.#dropped = this.#editor.before;
      this.clear();
    }

    another() {
      const take = (this.#now ? this.#now.take : this.#settings().take) + 1;
      this.clear();
      this.#ask(take, 0);
    }

    #ask(take, pause) {
      const { signal } = this.#asking = new AbortController();
      setTimeout(() => signal.aborted || this.#compute(take, signal), pause);
    }

    async #compute(take, signal) {
      const settings = this.#settings(), length = Math.min(MOST, settings.length);
      const now = this.#now = { before: this.#editor.before, text: "", take, isWhole: false };
      const onText = withNewlines((piece) => {
        if (signal.aborted) return;
        now.text += piece;
        this.#show(this.text, false);
      });
      try {
        await this.#backend.write(now.before, { ...settings, take, length }, { onText, signal });
        if (signal.aborted) return;
        now.isWhole = true;
        this.follow();
      } catch (error) {
        if (!signal.aborted) this.#onError(error);
      }
    }

    // Put it, or its first word, into the text; false if there is none.
    take(isAll) {
      const rest = this.text, { end } = this.#editor;
      if (!rest) return false;
      this.#editor.replace(end, end, isAll ? rest : firstWord(rest), "suggestion" + this.#count++);
      return true;
    }
  }

  globalThis.charrnn.Suggestion = Suggestion;
})();
