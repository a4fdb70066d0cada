"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const area = byId("text"), detail = byId("detail"), title = byId("unit");
  const layer = byId("layer"), number = byId("number"), kind = byId("kind");
  const blocks = Array.from(document.querySelectorAll(".block"));
  const firsts = blocks.map((block) => Number(block.dataset.first));
  const buttons = Array.from(document.querySelectorAll("button[data-row]"));
  const texts = blocks.map((block) => block.textContent);
  const names = { " ": "space", "\n": "newline", "\t": "tab" };
  const classes = ["n3", "n2", "n1", "", "p1", "p2", "p3"];
  const places = []; // of each block, where each character begins in its text
  let values; // a row of steps per unit, one for each character
  let row = data.first, current = -1;

  blocks.forEach((block, at) => {
    const widths = data.widths[at], found = [0];
    for (let n = 0; found[n] < texts[at].length; n++) {
      found.push(found[n] + (widths ? parseInt(widths[n], 36) : 1));
    }
    places.push(found);
  });

  const stepOf = (index) => values[row * data.characters + index];
  const classOf = (step) => classes[Math.min(6, Math.floor((step / data.steps) * 7))];

  // A row's number as a person counts: layers and units from 1.
  function placeOf(of) {
    const each = data.layers * data.units, rest = of % each;
    return [Math.floor(of / each), Math.floor(rest / data.units) + 1, (rest % data.units) + 1];
  }

  function paint() {
    blocks.forEach((block, at) => {
      const spans = document.createDocumentFragment(), own = places[at], last = own.length - 1;
      for (let a = 0, b; a < last; a = b) {
        const name = classOf(stepOf(firsts[at] + a));
        for (b = a + 1; b < last && classOf(stepOf(firsts[at] + b)) === name; b++);
        const span = document.createElement("span");
        if (name) span.className = name;
        span.dataset.at = own[a];
        span.textContent = texts[at].slice(own[a], own[b]);
        spans.append(span);
      }
      block.replaceChildren(spans);
    });
    const [which, l, u] = placeOf(row), [low, high] = data.ends[row];
    layer.value = l;
    number.value = u;
    kind.value = which;
    const tells = data.found.filter((each) => each.row === row).map((each) => each.tells);
    title.textContent = "Layer " + l + ", unit " + u + ", " + data.kinds[which] +
      (tells.length ? ": " + tells.join("; ")
        : data.searched ? ": detects none of the features" : "");
    byId("low").textContent = low.toFixed(2);
    byId("high").textContent = high.toFixed(2);
    byId("middle").textContent = ((low + high) / 2).toFixed(2);
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(Number(b.dataset.row) === row)));
    if (current >= 0) show(current);
  }

  function choose(next) {
    if (!(next >= 0 && next < data.kinds.length * data.layers * data.units)) return;
    row = next;
    paint();
  }

  const nameOf = (symbol) => names[symbol] || "\u201c" + symbol + "\u201d";

  function blockOf(index) {
    return firsts.findLastIndex((first) => first <= index);
  }

  function describe(index) {
    const at = blockOf(index), n = index - firsts[at], own = places[at];
    const [low, high] = data.ends[row];
    const value = low + ((high - low) * stepOf(index)) / data.steps;
    return nameOf(texts[at].slice(own[n], own[n + 1])) + ": " + data.kinds[placeOf(row)[0]] +
      " is about " + value.toFixed(2) + " after it";
  }

  // Select a character, 0 to the last, and say what the unit is after it.
  function show(index, scroll) {
    if (index < 0 || index >= data.characters) return;
    const at = blockOf(index), own = places[at], n = index - firsts[at];
    current = index;
    detail.textContent = describe(index);
    const span = Array.from(blocks[at].children).findLast((s) => s.dataset.at <= own[n]);
    const node = span.firstChild, from = own[n] - span.dataset.at;
    const end = Math.min(from + own[n + 1] - own[n], node.length);
    document.getSelection().setBaseAndExtent(node, from, node, end);
    if (scroll) span.scrollIntoView({ block: "nearest" });
  }

  // The character below the pointer, or -1.
  function under(event) {
    let node, offset;
    if (document.caretPositionFromPoint) {
      const position = document.caretPositionFromPoint(event.clientX, event.clientY);
      if (position) ({ offsetNode: node, offset } = position);
    } else if (document.caretRangeFromPoint) {
      const range = document.caretRangeFromPoint(event.clientX, event.clientY);
      if (range) ({ startContainer: node, startOffset: offset } = range);
    }
    const span = node && node.parentElement, block = span && span.closest(".block");
    if (!block || span === block) return -1;
    const at = blocks.indexOf(block), place = Number(span.dataset.at) + offset;
    return firsts[at] + Math.max(0, places[at].findLastIndex((p) => p <= place));
  }

  // The next or the previous of the units in the table.
  function step(direction) {
    if (!data.found.length) return;
    const rows = data.found.map((each) => each.row), at = rows.indexOf(row);
    choose(rows[(at + direction + rows.length + (at < 0 && direction < 0)) % rows.length]);
  }

  function listen() {
    buttons.forEach((b) => b.addEventListener("click", () => choose(Number(b.dataset.row))));
    const typed = () => {
      if (!layer.reportValidity() || !number.reportValidity()) return;
      const each = data.layers * data.units;
      choose(kind.value * each + (layer.value - 1) * data.units + (number.value - 1));
    };
    [layer, number, kind].forEach((each) => each.addEventListener("change", typed));
    byId("next").addEventListener("click", () => step(1));
    byId("previous").addEventListener("click", () => step(-1));
    area.addEventListener("click", (event) => {
      if (document.getSelection().isCollapsed) show(under(event));
    });
    area.addEventListener("mousemove", (event) => {
      const index = under(event);
      if (index >= 0 && index < data.characters) detail.textContent = describe(index);
    });
    area.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const moves = { ArrowLeft: -1, ArrowRight: 1 };
      if (event.key in moves) show(Math.max(0, current + moves[event.key]), true);
      else if (event.key === "n") step(1);
      else if (event.key === "p") step(-1);
      else return;
      event.preventDefault();
    });
  }

  async function start() {
    const packed = Uint8Array.from(atob(data.values), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    values = new Uint8Array(await new Response(stream).arrayBuffer());
    listen();
    paint();
  }

  start().catch((error) => { title.textContent = "This browser cannot show units: " + error; });
})();
