"use strict";
// Where a text ends: text/endings.py and generation/stopping.py.
{
  class Ending {
    constructor(continuer, settings) {
      this.until = settings.until;
      this.decode = continuer.vocabulary.decoder();
      this.text = "";
      this.reached = false;
    }

    feed(symbols, isLast = false) {
      const piece = this.decode(symbols, isLast), before = this.text;
      this.text += piece;
      if (this.until === "line" && /\S/.test(before) && piece === "\n") this.reached = true;
      if (this.until === "word" && /\S/.test(before) && /\s/.test(piece)) {
        this.reached = true;
        return "";
      }
      if (this.until === "sentence" && /[.!?]$/.test(before)) this.reached = true;
      return piece;
    }
  }

  Object.assign(globalThis, { Ending });
}
