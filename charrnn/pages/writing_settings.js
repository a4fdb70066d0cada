"use strict";
// The settings of the page: its controls, and what the browser keeps of them.
(() => {
  const byId = (id) => document.getElementById(id);
  const IDS = ["temperature", "suggest", "colored", "known", "until", "ahead", "tab", "length",
    "top-p", "min-p", "top-k", "seed", "take"];
  const valueOf = (id) => byId(id).type === "checkbox" ? byId(id).checked : byId(id).value;

  // The number in a control, within its range; without one, its default.
  function number(id) {
    const { value, min, max, defaultValue, step } = byId(id);
    const typed = value.trim() === "" ? NaN : Number(value);
    const valid = Number.isFinite(typed) ? typed : Number(defaultValue);
    const within = Math.min(Number(max), Math.max(Number(min), valid));
    return step === "1" ? Math.round(within) : within;
  }

  class Settings {
    #keeper;

    // onChange(id) is called after each change by hand.
    constructor(keeper, onChange) {
      this.#keeper = keeper;
      for (const id of IDS) {
        byId(id).addEventListener("input", () => {
          keeper.settings = Object.fromEntries(IDS.map((each) => [each, valueOf(each)]));
          this.#show();
          onChange(id);
        });
      }
      this.restore();
    }

    // What the controls were set to the last time, as far as they offer it now.
    restore() {
      const values = this.#keeper.settings;
      for (const id of IDS) {
        const control = byId(id), value = values[id];
        if (typeof value === "boolean" && control.type === "checkbox") control.checked = value;
        else if (typeof value === "string" && control.type !== "checkbox") {
          const isOffered = !control.options ||
            Array.from(control.options).some((each) => each.value === value && !each.disabled);
          if (isOffered) control.value = value;
        }
      }
      this.#show();
    }

    #show() {
      byId("temperature-value").textContent = number("temperature").toFixed(2);
      byId("characters").textContent = number("length").toLocaleString("en") + " characters";
      byId("tab-takes").textContent = this.tabTakesAll ? "all of it" : "a word of it";
      byId("offer").hidden = byId("hint").hidden = !this.suggests;
    }

    get suggests() { return byId("suggest").checked; }
    get isColored() { return byId("colored").checked; }
    get tabTakesAll() { return byId("tab").value === "all"; }

    // How the network continues, as a backend wants it.
    get writing() {
      return {
        temperature: number("temperature"), topK: number("top-k"), topP: number("top-p"),
        minP: number("min-p"), until: byId("until").value || null, length: number("length"),
        seed: number("seed"), take: number("take"),
        knownWords: byId("known").checked && !byId("known-label").hidden,
      };
    }

    // How it suggests.
    get suggesting() { return { ...this.writing, until: byId("ahead").value, start: 0 }; }
  }

  globalThis.charrnn.Settings = Settings;
})();
