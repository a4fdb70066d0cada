"use strict";
// The text area, and below it a mirror of its text, line by line, which holds what a text area
// cannot: the grey suggestion after the cursor, and the colors of surprise.
(() => {
  const { History, changeBetween } = globalThis.charrnn;

  class Editor {
    // True while an input method composes a character, or a phone's keyboard a word.
    isComposing = false;
    #box = document.getElementById("box");
    #mirror = document.getElementById("mirror");
    #history = new History();
    #text = "";
    #caret = 0;
    #lines = [];
    #ghost = "";
    #colors = null;
    #composed = 0;
    area = document.getElementById("area");

    // onEdit(text, byHand) after each change; onMove() after the cursor went elsewhere.
    constructor({ onEdit, onMove }) {
      this.onEdit = onEdit;
      this.onMove = onMove;
      this.area.addEventListener("beforeinput", (event) => {
        this.#caret = this.area.selectionStart;
        if (event.inputType !== "historyUndo" && event.inputType !== "historyRedo") return;
        event.preventDefault();
        if (event.inputType === "historyUndo") this.undo(); else this.redo();
      });
      this.area.addEventListener("input", () => {
        const group = this.isComposing ? "composed" + this.#composed : "";
        this.#history.note(changeBetween(this.#text, this.area.value), this.#caret, group);
        this.#changed(true);
      });
      this.area.addEventListener("compositionstart", () => {
        this.isComposing = true;
        this.#composed++;
      });
      this.area.addEventListener("compositionend", () => { this.isComposing = false; });
      document.addEventListener("selectionchange", () => this.#moved());
      this.area.addEventListener("selectionchange", () => this.#moved());
    }

    get text() { return this.#text; }
    get end() { return this.area.selectionEnd; }
    get before() { return this.#text.slice(0, this.end); }
    get hasSelection() { return this.area.selectionStart !== this.area.selectionEnd; }
    get canUndo() { return this.#history.canUndo; }
    get canRedo() { return this.#history.canRedo; }
    get ghost() { return this.#ghost; }

    // True if a suggestion can stand behind the cursor: no text is in its way.
    get isAtEnd() { return this.#text.slice(this.end).trim() === ""; }

    #moved() {
      if (document.activeElement === this.area && this.area.value === this.#text) this.onMove();
    }

    #changed(byHand) {
      this.#text = this.area.value;
      this.#draw();
      this.onEdit(this.#text, byHand);
    }

    // Put another text into the area, which undo does not take away.
    start(text) {
      this.#history = new History();
      this.area.value = text;
      this.area.setSelectionRange(text.length, text.length);
      this.#changed(true);
      this.#box.scrollTop = this.#box.scrollHeight;
    }

    // Replace the text from `start` to `end`; the cursor goes to the end of it if it was there.
    replace(start, end, text, group) {
      const follows = this.end === end || this.end === start;
      const change = { start, removed: this.#text.slice(start, end), inserted: text };
      if (change.removed === text) return;
      this.#history.note(change, this.end, group);
      const bottom = this.#isAtBottom();
      this.area.setRangeText(text, start, end, follows ? "end" : "preserve");
      this.#changed(false);
      if (bottom) this.#box.scrollTop = this.#box.scrollHeight;
    }

    undo() { this.#restore(this.#history.undo(this.#text)); }
    redo() { this.#restore(this.#history.redo(this.#text)); }

    #restore(state) {
      if (!state) return;
      this.area.value = state.text;
      this.area.setSelectionRange(state.caret, state.caret);
      this.#changed(true);
    }

    // Show this after the cursor, in grey, if the cursor is at the end of the text.
    suggest(text) {
      if (text === this.#ghost) return;
      const bottom = text && this.#isAtBottom();
      this.#ghost = text;
      this.#draw();
      if (bottom) this.#box.scrollTop = this.#box.scrollHeight;
    }

    // Color the text by `surpriseOf`'s levels as far as it is still the same; null: no colors.
    color(surprise) {
      this.#colors = surprise;
      this.#box.classList.toggle("colored", surprise !== null);
      this.#draw();
    }

    select(start, end) {
      this.area.focus();
      this.area.setSelectionRange(start, end);
    }

    #isAtBottom() {
      const { scrollTop, scrollHeight, clientHeight } = this.#box;
      return this.isAtEnd && scrollHeight - scrollTop - clientHeight < 40;
    }

    // The levels of the beginning of the text that has not changed since it was scored.
    #levels() {
      if (!this.#colors) return "";
      const { text, levels } = this.#colors, { start } = changeBetween(text, this.#text);
      return levels.slice(0, start);
    }

    // Bring the mirror up to date: only lines that differ are made anew.
    #draw() {
      const levels = this.#levels(), caret = this.end, ghost = this.isAtEnd ? this.#ghost : "";
      let place = 0;
      const lines = this.#text.split("\n").map((text) => {
        const at = caret - place, isHere = ghost && at >= 0 && at <= text.length;
        const own = place < levels.length ? levels.slice(place, place + text.length) : "";
        place += text.length + 1;
        return { text, levels: own, ghost: isHere ? ghost : "", at: isHere ? at : 0 };
      });
      const old = this.#lines, most = Math.min(old.length, lines.length);
      let first = 0, last = 0;
      while (first < most && isSame(old[first], lines[first])) first++;
      while (last < most - first && isSame(old.at(-1 - last), lines.at(-1 - last))) last++;
      const { children } = this.#mirror, made = document.createDocumentFragment();
      for (let n = old.length - last - 1; n >= first; n--) children[n].remove();
      for (const line of lines.slice(first, lines.length - last)) made.append(lineOf(line));
      this.#mirror.insertBefore(made, children[first] || null);
      this.#lines = lines;
    }
  }

  const isSame = (a, b) =>
    a.text === b.text && a.levels === b.levels && a.ghost === b.ghost && a.at === b.at;

  function span(text, name) {
    const made = document.createElement("span");
    made.className = name;
    made.textContent = text;
    return made;
  }

  // A line of the mirror: one span for each run of characters of one level, and the suggestion.
  function lineOf({ text, levels, ghost, at }) {
    const made = document.createElement("div");
    made.className = "line";
    const rest = ghost ? at : text.length; // what follows the suggestion is white space
    const colored = Math.min(levels.length, rest);
    for (let a = 0, b; a < colored; a = b) {
      for (b = a + 1; b < colored && levels[b] === levels[a]; b++);
      const part = text.slice(a, b);
      made.append("-0".includes(levels[a]) ? part : span(part, "l" + levels[a]));
    }
    if (colored < rest) made.append(text.slice(colored, rest));
    if (ghost) made.append(span(ghost.replaceAll("\n", "\u21b5\n"), "ghost"));
    return made;
  }

  globalThis.charrnn.Editor = Editor;
})();
