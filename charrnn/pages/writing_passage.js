"use strict";
// What the network writes on request: a continuation at the cursor, another one in its place, or
// three to choose from.
(() => {
  const { withNewlines } = globalThis.charrnn;
  const SLOW = 400; // milliseconds between two pieces for who wants little motion
  const EXACT = 1000; // symbols
  // A short text is read from the start state of its take, as `charrnn sample` reads it; a longer one
  // always from the same, since reading it for each take would take seconds and change nothing.
  const startsOf = (before) =>
    before.length > 2 * EXACT || Array.from(before).length > EXACT ? { start: 0 } : {};
  const byId = (id) => document.getElementById(id);

  class Passages {
    #editor;
    #backend;
    #say;
    #onError;
    #changed;
    #last = null; // {start, before, text, settings, first}: what was written last
    #running = null;
    #choices = null; // {before, at, settings, first, rows, controller}
    #count = 0;

    // say(text, spoken) tells what happened, changed() that it runs, has ended, or chosen.
    constructor({ editor, backend, say, onError, changed }) {
      this.#editor = editor;
      this.#backend = backend;
      this.#say = say;
      this.#onError = onError;
      this.#changed = changed;
    }

    get isRunning() { return this.#running !== null; }
    get isChoosing() { return this.#choices !== null; }

    // True if the cursor is still at the end of what was written last.
    get hasLast() {
      const last = this.#last;
      return last !== null && this.#editor.before === last.before + last.text;
    }

    // The settings of what comes next: on from what was written last it is the next take, since the
    // same draws again would often write the same words.
    #next(settings) {
      const last = this.#last;
      const goesOn = this.hasLast && last.first === settings.take &&
        last.settings.seed === settings.seed;
      return goesOn ? { ...settings, take: last.settings.take + 1 } : settings;
    }

    // Write on from the cursor.
    continue(settings) {
      this.close();
      const { end, before } = this.#editor;
      return this.#write(end, before, this.#next(settings), settings.take, this.#group());
    }

    // What was written last in another way: its next take.
    another() {
      this.close();
      const { start, before, text, settings, first } = this.#last, group = this.#group();
      this.stop();
      this.#editor.replace(start, start + text.length, "", group);
      return this.#write(start, before, { ...settings, take: settings.take + 1 }, first, group);
    }

    #group() { return "passage" + this.#count++; }

    async #write(start, before, settings, first, group) {
      this.stop();
      const running = this.#running = { controller: new AbortController() };
      const last = this.#last = { start, before, text: "", settings, first };
      let pending = "", timer = 0;
      const put = () => {
        timer = 0;
        const at = start + last.text.length;
        if (pending) this.#editor.replace(at, at, pending, group);
        last.text += pending;
        pending = "";
      };
      const later = matchMedia("(prefers-reduced-motion: reduce)").matches
        ? (call) => setTimeout(call, SLOW) : requestAnimationFrame;
      const onText = withNewlines((piece) => {
        if (this.#running !== running) return;
        pending += piece;
        timer = timer || later(() => this.#running === running && put());
      });
      this.#say("The network is writing \u2026", "");
      this.#changed();
      try {
        const { signal } = running.controller;
        const { ended } = await this.#backend.write(
          before, { ...settings, ...startsOf(before) }, { onText, signal });
        if (this.#running !== running) return;
        put();
        this.#end(last, ended === "length" && settings.until ? ": that is the most it writes" : "");
      } catch (error) {
        if (this.#running !== running) return;
        put();
        this.#running = null;
        this.#onError(error);
        this.#changed();
      }
    }

    #end({ text, settings }, why) {
      this.#running = null;
      const size = Array.from(text).length;
      if (!size && !why) this.#say("The network has nothing to add here.");
      else this.#say("Wrote " + size.toLocaleString("en") +
        (size === 1 ? " character" : " characters") + why + " (seed " + settings.seed + ", take " +
        settings.take + ").", text);
      this.#changed();
    }

    // Stop writing; what is there stays.
    stop() {
      if (!this.#running) return;
      const { controller } = this.#running;
      this.#end(this.#last, ", then stopped");
      controller.abort();
    }

    // Show three ways to go on from the cursor.
    choose(settings) {
      this.stop();
      this.close();
      const { before, end } = this.#editor;
      this.#offer({ before, at: end, settings: this.#next(settings), first: settings.take });
    }

    // The next three takes.
    more() {
      const { before, at, settings, first, controller } = this.#choices;
      controller.abort();
      this.#offer({ before, at, settings: { ...settings, take: settings.take + 3 }, first });
    }

    #offer({ before, at, settings, first }) {
      const controller = new AbortController();
      const rows = [0, 1, 2].map((n) => ({
        text: "", settings: { ...settings, take: settings.take + n }, done: null, out: null,
      }));
      const choices = this.#choices = { before, at, settings, first, rows, controller };
      byId("list").replaceChildren(...rows.map((row, n) => this.#item(row, n)));
      byId("choices").hidden = false;
      byId("list").querySelector("button").focus();
      for (const row of rows) row.done = this.#fill(row, before, controller.signal);
      Promise.all(rows.map((row) => row.done)).then(() => {
        if (this.#choices !== choices) return;
        this.#say("Three ways to go on: choose with 1, 2 or 3.",
          rows.map((row, n) => n + 1 + ": " + row.text).join(" "));
      }, (error) => this.#choices === choices && this.#onError(error));
      this.#changed();
    }

    #item(row, n) {
      const item = document.createElement("li"), button = document.createElement("button");
      const key = document.createElement("kbd");
      row.out = document.createElement("span");
      row.out.dir = "auto";
      row.out.textContent = "\u2026";
      key.textContent = String(n + 1);
      button.type = "button";
      button.append(key, row.out);
      button.addEventListener("click", () => this.pick(n));
      item.append(button);
      return item;
    }

    async #fill(row, before, signal) {
      const onText = withNewlines((piece) => {
        if (signal.aborted) return;
        row.text += piece;
        row.out.textContent = row.text.replaceAll("\n", "\u21b5\n");
      });
      await this.#backend.write(
        before, { ...row.settings, ...startsOf(before) }, { onText, signal });
    }

    // Take a way that is shown, as soon as it is whole.
    async pick(n) {
      const choices = this.#choices, row = choices.rows[n];
      try {
        await row.done;
      } catch {
        return; // it has been told
      }
      if (this.#choices !== choices) return;
      const { before, at, first } = choices;
      this.close();
      this.#editor.replace(at, at, row.text, this.#group());
      this.#editor.select(at + row.text.length, at + row.text.length);
      this.#last = { start: at, before, text: row.text, settings: row.settings, first };
      this.#end(this.#last, "");
    }

    // Put the alternatives away.
    close() {
      if (!this.#choices) return;
      this.#choices.controller.abort();
      this.#choices = null;
      byId("choices").hidden = true;
      this.#changed();
    }
  }

  globalThis.charrnn.Passages = Passages;
})();
