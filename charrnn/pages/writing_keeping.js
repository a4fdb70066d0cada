"use strict";
// Texts that the browser keeps, one a slot. Two tabs never share a slot: what one of them writes
// would be lost. Without a storage, such as from some phones' file viewers, nothing is kept.
(() => {
  const PREFIX = "charrnn.text.", SETTINGS = "charrnn.settings", OWN = "charrnn.slot";

  // One that holds something may be full, but its texts can be read and deleted.
  function storageOf(name) {
    try {
      const storage = window[name];
      if (storage.length) return storage;
      storage.setItem("charrnn.test", "1");
      storage.removeItem("charrnn.test");
      return storage;
    } catch {
      return null;
    }
  }

  class Keeper {
    #storage = storageOf("localStorage");
    #tab = storageOf("sessionStorage");
    #id = "";
    #written = null;

    constructor(page) {
      this.page = page;
      this.#id = (this.#tab && this.#tab.getItem(OWN)) || "";
      window.addEventListener("storage", (event) => {
        if (event.key !== PREFIX + this.#id || event.newValue === null) return;
        this.#renew(); // another tab writes there
        if (this.#written !== null) this.keep(this.#written);
      });
    }

    #renew() { this.#own(crypto.getRandomValues(new Uint32Array(2)).join("-")); }

    #own(id) {
      this.#id = id;
      try {
        if (this.#tab) this.#tab.setItem(OWN, id);
      } catch { /* it is full: after a reload, the newest text is open */ }
    }

    #read(key) {
      try {
        const draft = JSON.parse(this.#storage.getItem(key));
        return typeof draft.text === "string" && draft.text ? { ...draft, key } : null;
      } catch {
        return null;
      }
    }

    // The text to go on with: this tab's, or the newest of this page.
    open() {
      if (!this.#storage) return "";
      const draft = this.#id ? this.#read(PREFIX + this.#id)
        : this.list().find((each) => each.page === this.page);
      if (draft) {
        this.#own(draft.key.slice(PREFIX.length));
        this.#written = draft.text; // kept elsewhere if another tab writes there
      }
      return draft ? draft.text : "";
    }

    // Keep the text; false if that fails.
    keep(text) {
      if (!this.#storage) return false;
      if (!this.#id) this.#renew();
      try {
        const draft = { text, page: this.page, time: Date.now() };
        if (text) this.#storage.setItem(PREFIX + this.#id, JSON.stringify(draft));
        else this.#storage.removeItem(PREFIX + this.#id);
        this.#written = text;
        return true;
      } catch {
        return false;
      }
    }

    // Begin another text; the one before stays where it is.
    begin() {
      this.#written = null;
      this.#renew();
    }

    // The other texts that are kept, the newest first: {text, time, page, key}.
    list() {
      if (!this.#storage) return [];
      const keys = Array.from({ length: this.#storage.length }, (_, n) => this.#storage.key(n));
      const own = PREFIX + this.#id;
      return keys.filter((key) => key.startsWith(PREFIX) && key !== own)
        .map((key) => this.#read(key)).filter(Boolean).sort((a, b) => b.time - a.time);
    }

    forget(key) { this.#storage.removeItem(key); }

    get settings() {
      try {
        return JSON.parse(this.#storage.getItem(SETTINGS)) || {};
      } catch {
        return {};
      }
    }

    set settings(values) {
      try {
        this.#storage.setItem(SETTINGS, JSON.stringify(values));
      } catch { /* they are asked for again next time */ }
    }
  }

  globalThis.charrnn.Keeper = Keeper;
})();
