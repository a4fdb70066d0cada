"use strict";
// Where documents begin, and the network's state is set to zero: text/documents.py.
{
  const CONTEXT = 256, TAIL = 1024; // symbols that are kept; the longest separator

  // The separator of a network's documents; source: a regular expression over its symbols.
  class Separator {
    constructor({ source, looksAhead }) {
      this.pattern = new RegExp(source, "gu");
      this.looksAhead = looksAhead;
    }

    matches(text, start = 0) { return matches(this.pattern, text, start); }
  }

  // Follows a growing text and tells before which of its symbols the state is zero.
  class DocumentTracker {
    constructor(separator, text = "", from = 0) { Object.assign(this, { separator, text, from }); }

    copy() { return new DocumentTracker(this.separator, this.text, this.from); }

    // Read the next symbol; true if the state is set to zero before the network reads it.
    resetsBefore(symbol) {
      const place = this.text.length, { looksAhead } = this.separator;
      this.text += symbol;
      // a separator, with the symbol or, if the pattern looks ahead, before it; one is imagined
      // before the text
      let ends = looksAhead && !place;
      for (const { index, 0: found } of this.separator.matches(this.text, this.from)) {
        const end = index + found.length;
        if (end > place) { // the match may continue
          ends ||= !looksAhead && found !== "";
          break;
        }
        if (found !== "") {
          this.from = end;
          ends = looksAhead && end === place;
        }
      }
      if (this.text.length > 2 * (CONTEXT + TAIL)) {
        const cut = this.text.length - CONTEXT - TAIL;
        this.text = this.text.slice(cut);
        this.from = Math.max(this.from - cut, CONTEXT);
      }
      return ends;
    }
  }

  Object.assign(globalThis, { Separator, DocumentTracker });
}
