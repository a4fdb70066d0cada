"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const area = document.getElementById("text");
  const detail = document.getElementById("detail");
  const blocks = Array.from(document.querySelectorAll(".block"));
  const firsts = blocks.map((block) => Number(block.dataset.first));
  const names = { " ": "space", "\n": "newline", "\t": "tab" };
  const painted = new Map(); // block number -> where each character begins in its text
  let current = -1;

  // Where each character of a block begins in its text, and the text's length.
  function placesOf(number, length) {
    const widths = data.blocks[number].w;
    const places = [0];
    for (let n = 0; places[n] < length; n++) {
      places.push(places[n] + (widths ? parseInt(widths[n], 36) : 1));
    }
    return places;
  }

  // Give a block its colors: one span for each run of characters of one level.
  function paint(number) {
    if (painted.has(number)) return painted.get(number);
    const block = blocks[number], text = block.textContent, levels = data.blocks[number].l;
    const places = placesOf(number, text.length), spans = document.createDocumentFragment();
    for (let a = 0, b; a < levels.length; a = b) {
      for (b = a + 1; b < levels.length && levels[b] === levels[a]; b++);
      const span = document.createElement("span");
      if (levels[a] !== "0") span.className = "l" + levels[a];
      span.dataset.at = places[a];
      span.textContent = text.slice(places[a], places[b]);
      spans.append(span);
    }
    block.replaceChildren(spans);
    painted.set(number, places);
    return places;
  }

  function blockOf(index) {
    let low = 0, high = firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (firsts[middle] <= index) low = middle; else high = middle - 1;
    }
    return low;
  }

  const nameOf = (symbol) => names[symbol] || "\u201c" + symbol + "\u201d";

  // What the network thought of a character; record: nats, rank, entropy, the most probable.
  function describe(number, at) {
    const places = paint(number), block = data.blocks[number];
    const symbol = blocks[number].textContent.slice(places[at], places[at + 1]);
    if (block.bytes === undefined) {
      block.bytes = Uint8Array.from(atob(block.d), (c) => c.charCodeAt(0));
    }
    const wide = data.wide ? 2 : 1, size = 5 + data.top * (wide + 1), start = at * size;
    const bytes = block.bytes.subarray(start, start + size);
    const nats = bytes[0] + 256 * bytes[1], rank = bytes[2] + 256 * bytes[3];
    if (block.l[at] === "x") return nameOf(symbol) + ": not in the network's vocabulary";
    const likely = [];
    for (let k = 0, p = 5; k < data.top; k++, p += wide + 1) {
      const id = bytes[p] + (data.wide ? 256 * bytes[p + 1] : 0);
      const share = Math.round(bytes[p + wide] / 2.55);
      likely.push(nameOf(data.symbols[id]) + " " + (share || "< 1") + " %");
    }
    return nameOf(symbol) + ": " + (nats / 1000).toFixed(2) + " nats, rank " + rank +
      "; expected " + (bytes[4] / 20).toFixed(1) + " nats" +
      (likely.length ? ". Most probable: " + likely.join(", ") : "");
  }

  // Show a character, 0 to the last, and scroll to it: center, nearest, or not at all.
  function show(index, scroll) {
    if (index < 0 || index >= data.characters) return;
    const number = blockOf(index), at = index - firsts[number], places = paint(number);
    current = index;
    detail.textContent = describe(number, at);
    const span = Array.from(blocks[number].children).findLast((s) => s.dataset.at <= places[at]);
    const node = span.firstChild, from = places[at] - span.dataset.at;
    const end = Math.min(from + places[at + 1] - places[at], node.length);
    document.getSelection().setBaseAndExtent(node, from, node, end);
    if (scroll) span.scrollIntoView({ block: scroll });
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
    const number = blocks.indexOf(block), place = Number(span.dataset.at) + offset;
    const places = paint(number);
    let at = 0;
    while (at + 2 < places.length && places[at + 1] <= place) at++;
    return firsts[number] + at;
  }

  function step(direction) {
    const marks = data.passages;
    if (!marks.length) return;
    const next = direction > 0 ? marks.find((m) => m > current)
      : marks.findLast((m) => m < current);
    const wrapped = direction > 0 ? marks[0] : marks[marks.length - 1];
    show(next === undefined ? wrapped : next, "center");
  }

  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        watch.unobserve(entry.target);
        paint(blocks.indexOf(entry.target));
      }
    }
  }, { rootMargin: "1500px" });
  blocks.forEach((block) => watch.observe(block));

  area.addEventListener("click", (event) => {
    if (document.getSelection().isCollapsed) show(under(event));
  });
  area.addEventListener("mousemove", (event) => {
    const index = under(event);
    if (index >= 0) detail.textContent = describe(blockOf(index), index - firsts[blockOf(index)]);
  });
  // Call what a key does, unless a modifier or a form field gives it another meaning.
  function onKeys(place, actions) {
    place.addEventListener("keydown", (event) => {
      const isOther = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey ||
        event.target.closest("input, select, textarea, [contenteditable]");
      if (isOther || !Object.hasOwn(actions, event.key)) return;
      event.preventDefault();
      actions[event.key]();
    });
  }

  onKeys(area, {
    ArrowLeft: () => show(Math.max(0, current - 1), "nearest"),
    ArrowRight: () => show(current + 1, "nearest"),
  });
  onKeys(document, { n: () => step(1), p: () => step(-1) });
  document.getElementById("next").addEventListener("click", () => step(1));
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-at]");
    if (!link) return;
    event.preventDefault();
    area.focus({ preventScroll: true });
    show(Number(link.dataset.at), "center");
  });
  window.addEventListener("beforeprint", () => blocks.forEach((_, number) => paint(number)));
})();
