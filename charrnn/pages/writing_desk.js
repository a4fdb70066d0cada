"use strict";
// What happens to whole texts: they are kept in the browser, begun, opened, copied and downloaded.
(() => {
  const { words } = globalThis.charrnn;
  const KEEP_AFTER = 300; // milliseconds without a change
  const byId = (id) => document.getElementById(id);
  const count = (number) => number.toLocaleString("en");

  function button(text, label, onClick) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", onClick);
    return made;
  }

  class Desk {
    #editor;
    #keeper;
    #say;
    #isKept = true;
    #downloaded = "";
    #timer = 0;

    // say(text) tells what happened.
    constructor(editor, keeper, say) {
      this.#editor = editor;
      this.#keeper = keeper;
      this.#say = say;
      document.addEventListener("visibilitychange", () => this.keep());
      window.addEventListener("pagehide", () => this.keep());
      window.addEventListener("beforeunload", (event) => {
        this.keep();
        if (!this.#isSafe) event.preventDefault();
      });
    }

    get #isSafe() {
      const { text } = this.#editor;
      return this.#isKept || text === "" || text === this.#downloaded;
    }

    // Go on with the text that was written last.
    resume() {
      this.#editor.start(this.#keeper.open());
      this.#isKept = this.#editor.text !== ""; // to keep it again would take it from another tab
      this.keep();
      this.showDrafts();
    }

    // The text has changed: keep it after a pause.
    edited() {
      this.#isKept = false;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.keep(), KEEP_AFTER);
    }

    keep() {
      clearTimeout(this.#timer);
      const { text } = this.#editor;
      this.#isKept = this.#isKept || this.#keeper.keep(text);
      const size = (number, what) => count(number) + " " + what + (number === 1 ? "" : "s");
      byId("kept").textContent = size(words(text).length, "word") + ", " +
        size(Array.from(text).length, "character") + ". " + (this.#isKept ? "Kept in this browser."
        : this.#isSafe ? ""
        : "This browser does not keep it: download it before you close the page.");
    }

    // Begin another text, with this in it.
    begin(text) {
      this.keep();
      if (!this.#isSafe && !confirm("The text is not kept anywhere. Throw it away?")) return;
      this.#keeper.begin();
      this.#editor.start(text);
      this.keep();
      this.showDrafts();
      this.#editor.area.focus();
    }

    // List the other texts.
    showDrafts() {
      const drafts = this.#keeper.list();
      byId("earlier").hidden = !drafts.length;
      byId("drafts").replaceChildren(...drafts.map((draft) => {
        const item = document.createElement("li"), title = document.createElement("span");
        const first = draft.text.trim().slice(0, 60).split("\n")[0];
        title.textContent = first + " (" + new Date(draft.time).toLocaleString() + ")";
        title.dir = "auto";
        item.append(title, button("Open", "Open " + first, () => this.begin(draft.text)),
          button("Delete", "Delete " + first, () => {
            if (!confirm("Delete this text?")) return;
            this.#keeper.forget(draft.key);
            this.showDrafts();
          }));
        return item;
      }));
    }

    async open(file) { this.begin((await file.text()).replace(/\r\n?/g, "\n")); }

    async copy() {
      const { text, area } = this.#editor;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        area.select();
        if (!document.execCommand("copy")) return this.#say("Copying failed: press Ctrl+C.");
      }
      this.#say("Copied.");
    }

    download() {
      const { text } = this.#editor, link = document.createElement("a");
      const title = words(text).slice(0, 5).map(([a, b]) => text.slice(a, b)).join(" ");
      const name = title.replace(/[^\p{L}\p{M}\p{N} '_-]/gu, "").slice(0, 60).trim();
      link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
      link.download = (name || "untitled") + ".txt";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      this.#downloaded = text;
      this.keep();
      this.#say("Downloaded as " + link.download + ".");
    }
  }

  globalThis.charrnn.Desk = Desk;
})();
