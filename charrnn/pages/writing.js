"use strict";
// The writing page: its controls, keys and messages. The network is a backend, which a script before
// this one makes from the page's data: `makeBackend(data)` resolves to an object of
//   about() -> facts: {name, summary, unit, texts, sha256, loss, epochs, steps, hasKnownWords, ...}
//   score(text, {signal}) -> {surprises: nats of each symbol, unknown: [symbols]}
//   next(text, settings, count, {signal}) -> [{text, probability}], the most probable first
//   write(text, settings, {onText, signal}) -> {text, ended: "until", "length" or "stopped"}
// settings: {temperature, topK, topP, minP, until, length, seed, take, knownWords, start}; `start` is
// the start state to read the text from, by default that of the take. Errors are sentences for people.
// Whatever a backend returns is text, never markup.
(() => {
  const { Editor, Keeper, Passages, Suggestion, Surprise, words } = globalThis.charrnn;
  const KEEP_AFTER = 300; // milliseconds without a change
  const byId = (id) => document.getElementById(id);
  const count = (number) => Number(number).toLocaleString("en");
  // A button that is disabled for the browser would lose the focus.
  const disable = (id, isOff) => byId(id).setAttribute("aria-disabled", String(isOff));
  const isDisabled = (id) => byId(id).getAttribute("aria-disabled") === "true";
  const keeper = new Keeper(location.pathname);
  const editor = new Editor({ onEdit: edited, onMove: moved });
  const CONTROLS = ["temperature", "suggest", "colored", "known", "until", "ahead", "tab", "length",
    "top-p", "min-p", "top-k", "seed", "take"];
  let passages = null, suggestion = null, surprise = null;
  let isKept = true, safe = "", timer = 0;

  // Settings

  function number(id) {
    const { value, min, max, defaultValue, step } = byId(id);
    const typed = value.trim() === "" ? NaN : Number(value);
    const valid = Number.isFinite(typed) ? typed : Number(defaultValue);
    const within = Math.min(Number(max), Math.max(Number(min), valid));
    return step === "1" ? Math.round(within) : within;
  }

  function settings() {
    return {
      temperature: number("temperature"), topK: number("top-k"), topP: number("top-p"),
      minP: number("min-p"), until: byId("until").value || null, length: number("length"),
      seed: number("seed"), take: number("take"),
      knownWords: byId("known").checked && !byId("known-label").hidden,
    };
  }

  const valueOf = (id) => byId(id).type === "checkbox" ? byId(id).checked : byId(id).value;

  function restoreSettings() {
    const values = keeper.settings;
    for (const id of CONTROLS) {
      const control = byId(id), value = values[id];
      if (typeof value === "boolean" && control.type === "checkbox") control.checked = value;
      else if (typeof value === "string" && control.type !== "checkbox") {
        const isOffered = !control.options ||
          Array.from(control.options).some((each) => each.value === value && !each.disabled);
        if (isOffered) control.value = value;
      }
    }
    showSettings();
  }

  function showSettings() {
    byId("temperature-value").textContent = number("temperature").toFixed(2);
    byId("characters").textContent = count(number("length")) + " characters";
    byId("tab-takes").textContent = byId("tab").value === "all" ? "all of it" : "a word of it";
  }

  function settingChanged(event) {
    showSettings();
    keeper.settings = Object.fromEntries(CONTROLS.map((id) => [id, valueOf(id)]));
    showSwitches();
    if (!suggestion) return;
    if (event.target.id === "colored") surprise.turn(byId("colored").checked);
    else if (event.target.id !== "tab") suggestion.renew();
  }

  function showSwitches() {
    const isOn = byId("suggest").checked;
    byId("offer").hidden = byId("hint").hidden = !isOn;
    if (suggestion) suggestion.isOn = isOn && !passages.isRunning && !passages.isChoosing;
  }

  // Messages

  function say(text, spoken = "") {
    byId("status").className = "";
    byId("status").textContent = text;
    byId("spoken").textContent = spoken.slice(0, 600);
  }

  function complain(error) {
    byId("status").className = "wrong";
    byId("status").textContent = error && error.message ? error.message : String(error);
  }

  // The text

  function edited(text, byHand) {
    if (byHand && passages) {
      passages.stop();
      passages.close();
    }
    isKept = false;
    clearTimeout(timer);
    timer = setTimeout(keep, KEEP_AFTER);
    disable("undo", !editor.canUndo);
    disable("redo", !editor.canRedo);
    if (!suggestion) return;
    suggestion.follow();
    surprise.edited();
    showButtons();
  }

  function moved() {
    if (!suggestion) return;
    suggestion.follow();
    surprise.moved();
  }

  function keep() {
    clearTimeout(timer);
    const { text } = editor, size = count(words(text).length) + " words, " +
      count(Array.from(text).length) + " characters. ";
    isKept = isKept || keeper.keep(text);
    byId("kept").textContent = size + (isKept ? "Kept in this browser." : text === safe ? ""
      : "This browser does not keep it: download it before you close the page.");
  }

  const isSafe = () => isKept || editor.text === "" || editor.text === safe;

  function begin(text) {
    if (!isSafe()) keep();
    if (!isSafe() && !confirm("The text is not kept anywhere. Throw it away?")) return;
    keeper.begin();
    editor.start(text);
    keep();
    showDrafts();
    editor.area.focus();
  }

  function showDrafts() {
    const drafts = keeper.list();
    byId("earlier").hidden = !drafts.length;
    byId("drafts").replaceChildren(...drafts.map((draft) => {
      const item = document.createElement("li"), title = document.createElement("span");
      const first = draft.text.trim().slice(0, 60).split("\n")[0];
      title.textContent = first + " (" + new Date(draft.time).toLocaleString() + ")";
      title.dir = "auto";
      item.append(title, button("Open", "Open " + first, () => begin(draft.text)),
        button("Delete", "Delete " + first, () => {
          if (!confirm("Delete this text?")) return;
          keeper.forget(draft.key);
          showDrafts();
        }));
      return item;
    }));
  }

  function button(text, label, onClick) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", onClick);
    return made;
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(editor.text);
    } catch {
      editor.area.select();
      if (!document.execCommand("copy")) return complain("Copying failed: press Ctrl+C.");
    }
    say("Copied.");
  }

  function download() {
    const { text } = editor, link = document.createElement("a");
    const title = words(text).slice(0, 5).map(([a, b]) => text.slice(a, b)).join(" ");
    const name = title.replace(/[^\p{L}\p{M}\p{N} '_-]/gu, "").slice(0, 60).trim();
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
    link.download = (name || "untitled") + ".txt";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    safe = text;
    keep();
    say("Downloaded as " + link.download + ".");
  }

  // The network

  function showOffer(text, isWhole) {
    editor.suggest(text);
    byId("ghost").textContent = editor.isAtEnd ? "" : text;
    for (const id of ["take-word", "take-all", "drop"]) disable(id, !text);
    if (text && byId("status").className) say(""); // the network answers again
    if (text && isWhole) byId("spoken").textContent = "Suggestion: " + text;
    showButtons();
  }

  function showButtons() {
    const { isRunning, isChoosing, hasLast } = passages;
    byId("continue").textContent = isRunning ? "Stop" : "Continue";
    disable("another", isRunning || !(hasLast || suggestion.text));
    byId("choose").setAttribute("aria-expanded", String(isChoosing));
  }

  // Writing has begun or ended, alternatives are shown or not.
  function turned() {
    showSwitches();
    suggestion.follow();
    showButtons();
  }

  const actions = {
    "take-word": () => suggestion.take(false),
    "take-all": () => suggestion.take(true),
    drop: () => suggestion.drop(),
    continue: () => passages.isRunning ? passages.stop() : passages.continue(settings()),
    another: () => passages.hasLast ? passages.another() : suggestion.another(),
    choose: () => passages.isChoosing ? escape() : passages.choose(settings()),
    "more-choices": () => passages.more(),
    "close-choices": () => escape(),
  };

  // Undo what is going on; true if something was.
  function escape() {
    if (passages.isChoosing) {
      passages.close();
      editor.area.focus();
    } else if (passages.isRunning) passages.stop();
    else if (suggestion.text) suggestion.drop();
    else return false;
    return true;
  }

  // The action of a key in the text area, or null: then the key does what it always does.
  function actionOf({ key, ctrlKey, metaKey, altKey, shiftKey }) {
    const control = ctrlKey || metaKey, plain = !control && !altKey && !shiftKey;
    if (control && !altKey && key.toLowerCase() === "z") {
      return () => shiftKey ? editor.redo() : editor.undo();
    }
    if (control && !altKey && key.toLowerCase() === "y") return () => editor.redo();
    if (!suggestion) return null;
    if (key === "Enter" && control) return shiftKey ? actions.choose : actions.continue;
    if (key === "Enter" && altKey && !isDisabled("another")) return actions.another;
    if (!plain || !suggestion.text) return null;
    if (key === "Tab") return () => suggestion.take(byId("tab").value === "all");
    return key === "End" && editor.isAtEnd ? actions["take-all"] : null;
  }

  function onTextKey(event) {
    if (event.isComposing) return;
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    action();
  }

  // Keys among the alternatives; what is typed otherwise goes on in the text.
  function onChoiceKey(event) {
    const { key, ctrlKey, metaKey, altKey } = event;
    if (ctrlKey || metaKey || altKey) return;
    const buttons = Array.from(byId("choices").querySelectorAll("button"));
    const step = { ArrowDown: 1, ArrowUp: -1 }[key], at = buttons.indexOf(event.target);
    if ("123".includes(key) && key) passages.pick(Number(key) - 1);
    else if (step) buttons[(at + step + buttons.length) % buttons.length].focus();
    else if (key.length === 1 && key !== " ") return editor.area.focus();
    else return;
    event.preventDefault();
  }

  function showFacts(facts) {
    const { name, summary, unit, texts, sha256, loss, epochs, steps, precision } = facts;
    const noun = unit === "byte" ? " bytes" : " characters";
    byId("name").textContent = "Write with " + name;
    byId("summary").textContent = summary;
    const rows = [
      ["Network", summary],
      ["Trained on", texts.map((text) => text.name + ", " + count(text.characters) + noun)
        .join("; ") || "unknown texts"],
      ["SHA-256 of the text", sha256 || "unknown"],
      ["Trained for", count(steps) + " steps, " + Number(epochs).toFixed(1) + " passes"],
      ["Loss on text it did not see", loss === null ? "not measured"
        : loss.toFixed(4) + " nats per " + (unit === "byte" ? "byte" : "character")],
      ["Weights here", precision || "float32"],
    ];
    byId("facts").replaceChildren(...rows.flatMap(([term, text]) => {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = term;
      dd.textContent = text;
      return [dt, dd];
    }));
  }

  async function connect() {
    const data = JSON.parse(byId("data").textContent);
    const backend = await globalThis.makeBackend(data), facts = await backend.about();
    showFacts(facts);
    byId("known-label").hidden = !facts.hasKnownWords;
    byId("document").hidden = byId("document").disabled = !facts.hasDocuments;
    passages = new Passages({ editor, backend, say, onError: complain, changed: turned });
    suggestion = new Suggestion({
      editor, backend, show: showOffer, onError: complain,
      settings: () => ({ ...settings(), until: byId("ahead").value, start: 0 }),
    });
    surprise = new Surprise(editor, backend, facts.unit, complain);
    for (const id of ["continue", "choose"]) disable(id, false);
    surprise.turn(byId("colored").checked);
    turned();
  }

  function listen() {
    for (const id of CONTROLS) byId(id).addEventListener("input", settingChanged);
    for (const [id, action] of Object.entries({
      ...actions, undo: () => editor.undo(), redo: () => editor.redo(), copy, download,
      open: () => byId("file").click(), new: () => begin(""),
    })) byId(id).addEventListener("click", () => isDisabled(id) || action());
    for (const each of document.querySelectorAll("[data-keep]")) {
      each.addEventListener("pointerdown", (event) => event.preventDefault());
      each.addEventListener("mousedown", (event) => event.preventDefault());
    }
    byId("file").addEventListener("change", async ({ target }) => {
      if (target.files.length) begin((await target.files[0].text()).replace(/\r\n?/g, "\n"));
      target.value = "";
    });
    editor.area.addEventListener("keydown", onTextKey);
    editor.area.addEventListener("focus", moved);
    editor.area.addEventListener("blur", moved);
    editor.area.addEventListener("compositionend", moved);
    byId("choices").addEventListener("keydown", onChoiceKey);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && passages && escape()) event.preventDefault();
    });
    document.addEventListener("visibilitychange", keep);
    window.addEventListener("pagehide", keep);
    window.addEventListener("beforeunload", (event) => {
      keep();
      if (!isSafe()) event.preventDefault();
    });
  }

  restoreSettings();
  editor.start(keeper.open());
  isKept = editor.text !== ""; // writing it again would take the slot from another tab
  keep();
  showDrafts();
  showSwitches();
  listen();
  connect().catch((error) => {
    byId("summary").textContent = "The network could not be loaded; writing works without it.";
    complain(error);
  });
})();
