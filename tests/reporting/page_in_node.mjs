// Runs the script of a page in a document that is just enough for it: presses the keys given, arrows
// in the text and others outside it ("n+ctrlKey": with a modifier, "n+field": in a form field), and
// prints, as JSON, the text, the characters of each level, and what each key chose and showed.
import fs from "fs";

const [, , path, ...keys] = process.argv;
const html = fs.readFileSync(path, "utf8");
const signs = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&amp;": "&" };
const plain = (text) => text.replace(/&[#\w]+;/g, (sign) => signs[sign]);

class Element {
  constructor() { this.dataset = {}; this.children = []; this.className = ""; this.on = {}; }
  get textContent() {
    return this.firstChild ? this.text : this.children.map((child) => child.textContent).join("");
  }
  set textContent(text) {
    this.text = text;
    this.firstChild = { length: text.length, parentElement: this };
  }
  append(child) { this.children.push(child); }
  replaceChildren(fragment) { this.children = fragment.children; this.firstChild = null; }
  addEventListener(name, handler) { this.on[name] = handler; }
  scrollIntoView() {}
}

const named = {};
for (const id of ["text", "detail", "next", "previous", "data"]) named[id] = new Element();
named.data.textContent = html.match(/id="data">([\s\S]*?)<\/script>/)[1];
const blocks = [...html.matchAll(/<p class="block"[^>]*data-first="(\d+)">([\s\S]*?)<\/p>/g)].map(
  ([, first, text]) => {
    const block = new Element();
    block.dataset.first = first;
    block.textContent = plain(text);
    return block;
  });
let selected = "";
const listeners = {};
globalThis.document = {
  getElementById: (id) => named[id],
  querySelectorAll: () => blocks,
  createDocumentFragment: () => new Element(),
  createElement: () => new Element(),
  addEventListener(name, handler) { listeners[name] = handler; },
  getSelection: () => ({
    setBaseAndExtent(node, from, _, to) {
      selected = node.parentElement.textContent.slice(from, to);
    },
  }),
};
globalThis.window = { addEventListener() {} };
globalThis.IntersectionObserver = class {
  constructor(callback) { this.callback = callback; }
  observe(target) { this.callback([{ isIntersecting: true, target }]); }
  unobserve() {}
};
(0, eval)(html.match(/<script id="[\w.]+">([\s\S]*?)<\/script>/)[1]);

const levels = {};
for (const span of blocks.flatMap((block) => block.children)) {
  levels[span.className] = (levels[span.className] || "") + span.textContent;
}
const steps = keys.map((word) => {
  const [key, how] = word.split("+");
  const target = { closest: () => how === "field" };
  const event = { key, target, [how]: true, preventDefault() {} };
  if (key.startsWith("Arrow")) named.text.on.keydown(event);
  listeners.keydown(event);
  return { selected, detail: named.detail.textContent };
});
const text = blocks.map((block) => block.textContent).join("");
console.log(JSON.stringify({ text, levels, steps }));
