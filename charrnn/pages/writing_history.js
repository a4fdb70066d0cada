"use strict";
// Undo and redo of a text, whoever wrote it: a word that was typed, or all that the network wrote at
// once, is one step. (A browser's own undo forgets what a script changed.)
(() => {
  const MOST = 5000; // steps that can be undone

  class History {
    #done = [];
    #undone = [];

    get canUndo() { return this.#done.length > 0; }
    get canRedo() { return this.#undone.length > 0; }

    // Note that from `start`, `removed` became `inserted`. Changes of the same `group` that is not
    // empty are one step; `caret` is where it was before.
    note({ start, removed, inserted }, caret, group = "") {
      this.#undone = [];
      const last = this.#done.at(-1);
      if (last && this.#isOne(last, { start, removed, inserted }, group)) {
        last.changes.push({ start, removed, inserted });
      } else {
        this.#done.push({ group, caret, changes: [{ start, removed, inserted }] });
        if (this.#done.length > MOST) this.#done.shift();
      }
    }

    // True if a change goes on with the last step.
    #isOne(step, { start, removed, inserted }, group) {
      if (group || step.group) return group === step.group;
      const last = step.changes.at(-1);
      if (removed || last.removed) {
        return !inserted && !last.inserted && start + removed.length === last.start;
      }
      return start === last.start + last.inserted.length && inserted.length <= 2 &&
        !(/\s$/u.test(last.inserted) && /^\S/u.test(inserted));
    }

    // The text before the last step and where the caret was, or null.
    undo(text) {
      const step = this.#done.pop();
      if (!step) return null;
      this.#undone.push(step);
      for (const { start, removed, inserted } of step.changes.slice().reverse()) {
        text = text.slice(0, start) + removed + text.slice(start + inserted.length);
      }
      return { text, caret: Math.min(step.caret, text.length) };
    }

    // The text after the step that was undone last, or null.
    redo(text) {
      const step = this.#undone.pop();
      if (!step) return null;
      this.#done.push(step);
      for (const { start, removed, inserted } of step.changes) {
        text = text.slice(0, start) + inserted + text.slice(start + removed.length);
      }
      const last = step.changes.at(-1);
      return { text, caret: last.start + last.inserted.length };
    }
  }

  globalThis.charrnn.History = History;
})();
