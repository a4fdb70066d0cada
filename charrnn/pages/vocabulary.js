"use strict";
// From a text to a network's ids and back. `about` is `vocabulary` of the page's data: symbols, one
// character each; the unit; the id of the unknown symbol, or null; and, for characters that are not
// known, the most similar that is: the characters of `from` are read as those of `to`.
{
  class Vocabulary {
    constructor(about) {
      this.symbols = about.symbols;
      this.isBytes = about.unit === "byte";
      this.unknown = about.unknown;
      this.index = new Map(this.symbols.map((symbol, id) => [symbol, id]));
      this.nearest = new Map();
      const to = Array.from(about.to);
      Array.from(about.from).forEach((ch, n) => this.nearest.set(ch, this.index.get(to[n])));
    }

    // The symbols of a text, known or not: characters, or bytes as the characters of their values.
    symbolsOf(text) {
      if (!this.isBytes) return Array.from(text);
      return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte));
    }

    // ids: what the network reads; places: which symbol of the text each of them stands for, -1 for
    // one that is only similar; lacking: the different symbols that it does not know.
    encode(text) {
      const ids = [], places = [], lacking = new Set(), symbols = this.symbolsOf(text);
      symbols.forEach((symbol, place) => {
        const id = this.index.get(symbol);
        if (id === undefined || id === this.unknown) lacking.add(symbol);
        const read = id === this.unknown ? undefined : id ?? this.nearest.get(symbol);
        if (read === undefined) return;
        ids.push(read);
        places.push(id === undefined ? -1 : place);
      });
      return { ids, places, lacking: [...lacking], count: symbols.length };
    }

    // A symbol as it stands in a text; the unknown one is U+FFFD.
    character(id) { return id === this.unknown ? "\ufffd" : this.symbols[id]; }

    // What makes characters of symbols, one after another: a character of several bytes is held
    // back until it is complete.
    decoder() {
      if (!this.isBytes) return (symbols) => symbols.join("");
      const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
      return (symbols, isLast) => {
        const bytes = Uint8Array.from(symbols, (symbol) => symbol.charCodeAt(0));
        return utf8.decode(bytes, { stream: !isLast });
      };
    }
  }

  Object.assign(globalThis, { Vocabulary });
}
