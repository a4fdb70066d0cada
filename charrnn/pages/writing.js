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
  const { Desk, Editor, Keeper, Passages, Settings, Suggestion, Surprise } = globalThis.charrnn;
  const byId = (id) => document.getElementById(id);
  const count = (number) => Number(number).toLocaleString("en");
  // A button that is disabled for the browser would lose the focus.
  const disable = (id, isOff) => byId(id).setAttribute("aria-disabled", String(isOff));
  const isDisabled = (id) => byId(id).getAttribute("aria-disabled") === "true";
  const keeper = new Keeper(location.pathname);
  const editor = new Editor({ onEdit: edited, onMove: moved });
  const desk = new Desk(editor, keeper, say), settings = new Settings(keeper, settingChanged);
  let passages = null, suggestion = null, surprise = null; // there is no network yet

  function say(text, spoken = "") {
    byId("status").className = "";
    byId("status").textContent = text;
    byId("spoken").textContent = spoken.slice(0, 600);
  }

  function complain(error) {
    byId("status").className = "wrong";
    byId("status").textContent = error && error.message ? error.message : String(error);
  }

  function edited(text, byHand) {
    if (byHand && passages) {
      passages.stop();
      passages.close();
    }
    desk.edited();
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

  function settingChanged(id) {
    if (!suggestion) return;
    if (id === "colored") surprise.turn(settings.isColored);
    else if (id !== "tab") turned(true);
  }

  // What the network suggests.
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

  // Writing has begun or ended, alternatives are shown or not, or the settings are new.
  function turned(isNew) {
    suggestion.isOn = settings.suggests && !passages.isRunning && !passages.isChoosing;
    if (isNew) suggestion.clear();
    suggestion.follow();
    showButtons();
  }

  const actions = {
    "take-word": () => suggestion.take(false),
    "take-all": () => suggestion.take(true),
    drop: () => suggestion.drop(),
    continue: () => passages.isRunning ? passages.stop() : passages.continue(settings.writing),
    another: () => passages.hasLast ? passages.another() : suggestion.another(),
    choose: () => passages.isChoosing ? escape() : passages.choose(settings.writing),
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
    if (key === "Tab") return () => suggestion.take(settings.tabTakesAll);
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

  // Of several networks, the losses of each alone.
  function lossOf({ loss, losses = [], unit }) {
    const [first, ...others] = (loss === null ? losses : [loss])
      .filter((nats) => nats !== null).sort((a, b) => a - b);
    if (first === undefined) return "not measured";
    const last = others.length ? " to " + others.at(-1).toFixed(4) : "";
    return first.toFixed(4) + last + " nats per " + (unit === "byte" ? "byte" : "character") +
      (loss === null ? ", each network alone" : "");
  }

  function showFacts(facts) {
    const { name, summary, unit, texts, sha256, epochs, steps, precision } = facts;
    const noun = unit === "byte" ? " bytes" : " characters";
    byId("name").textContent = "Write with " + name;
    byId("summary").textContent = summary;
    const rows = [
      ["Network", summary],
      ["Trained on", texts.map((text) => text.name + ", " + count(text.characters) + noun)
        .join("; ") || "unknown texts"],
      ["SHA-256 of the text", sha256 || "unknown"],
      ["Trained for", count(steps) + " steps, " + Number(epochs).toFixed(1) + " passes"],
      ["Loss on text it did not see", lossOf(facts)],
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
    settings.restore();
    passages = new Passages({ editor, backend, say, onError: complain, changed: turned });
    suggestion = new Suggestion({
      editor, backend, show: showOffer, onError: complain, settings: () => settings.suggesting,
    });
    surprise = new Surprise(editor, backend, facts.unit, complain);
    for (const id of ["continue", "choose"]) disable(id, false);
    surprise.turn(settings.isColored);
    turned();
  }

  function listen() {
    for (const [id, action] of Object.entries({
      ...actions, undo: () => editor.undo(), redo: () => editor.redo(), copy: () => desk.copy(),
      download: () => desk.download(), open: () => byId("file").click(),
      new: () => desk.begin(""),
    })) byId(id).addEventListener("click", () => isDisabled(id) || action());
    for (const each of document.querySelectorAll("[data-keep]")) {
      each.addEventListener("pointerdown", (event) => event.preventDefault());
      each.addEventListener("mousedown", (event) => event.preventDefault());
    }
    byId("file").addEventListener("change", async ({ target }) => {
      if (target.files.length) await desk.open(target.files[0]);
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
  }

  listen();
  desk.resume();
  connect().catch((error) => {
    byId("summary").textContent = "The network could not be loaded; writing works without it.";
    complain(error);
  });
})();
