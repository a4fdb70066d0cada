"use strict";
// Where a text ends: text/endings.py, with the same classes of characters, and the part of
// generation/stopping.py that a page needs.
{
  const SPACE = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
  const CLOSE = "\\p{Ps}\\p{Pe}\\p{Pi}\\p{Pf}\"'\\u275b-\\u2760\\u2e06-\\u2e08\\u2e0b" +
    "\\u{1f676}-\\u{1f678}";
  const CONTINUE = ",\\-:;\\u037e\\u055d\\u060c\\u060d\\u07f8\\u1802\\u1808\\u2013\\u2014\\u3001" +
    "\\ufe10\\ufe11\\ufe13\\ufe14\\ufe31\\ufe32\\ufe50\\ufe51\\ufe54\\ufe55\\ufe58\\ufe63\\uff0c" +
    "\\uff0d\\uff1a\\uff1b\\uff64";
  const INNER = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d";
  const SINGLE = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}" +
    "\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}\\p{Script=Tibetan}";
  const MARKS = "\\p{Sentence_Terminal}\\u2e60\\u2e61";
  const re = (source, flags = "u") => new RegExp(source, flags);

  const SOME = re(`[^${SPACE}\\x1c-\\x1f]`);
  const CANDIDATE = re("([。！？｡．]+)[\\p{Pe}\\p{Pf}\"']*|" +
    `([${MARKS}…]+)[${CLOSE}*_]*(?:[\\u00a0\\u202f]»)?|\\n[^\\P{White_Space}\\n]*(?:\\n|$)`, "gu");
  const NEXT = re(`([${SPACE}]*)[${CLOSE}\\p{Pd}*_¿¡]*[${SPACE}]*([^${SPACE}]?)`, "uy");
  const CONTINUES = re(`^[\\p{Ll}${CONTINUE}${MARKS}]`);
  const WORD = re(`[^${SPACE}${CLOSE}\\p{Pd}*_]*$`);
  const ITEM = re(`^[^${INNER}]*(?:\\p{Nd}+|[IVXLCDM]+|[ivxl]+|\\p{L})$`);
  const BLANK_LINE = re("\\n[^\\P{White_Space}\\n]*(\\n|$)", "gu");
  const UNSPACED = "。！？｡．؟۔।॥།"; // marks after which no space is needed
  const CONTENT = /[\p{L}\p{N}]/u;
  const NEXT_WORD = re(`[${SPACE}]*(?:([${SINGLE}]\\p{M}*)|[^${SPACE}${SINGLE}]+)`, "uy");
  const LONGEST = 1024; // symbols of a document's separator

  // The matches of a pattern from a place on.
  function* matches(pattern, text, start) {
    pattern.lastIndex = start;
    for (let match; (match = pattern.exec(text)) !== null;) {
      if (match[0] === "") pattern.lastIndex++;
      const next = pattern.lastIndex;
      yield match;
      pattern.lastIndex = next;
    }
  }
  const hasSome = (text, begin, end) => SOME.test(text.slice(begin, end));

  // An end, or what becomes one if the text goes on that way: the characters up to `at` belong to
  // the unit, and the next search begins at `search`.
  const end = (at, search, isCertain) => ({ at, search, isCertain });

  // find(text, begin, start, isWhole): the first end in text.slice(start) of the unit that begins
  // at `begin`, or what may become one, or null. isWhole: nothing follows the text.
  function lineEnd(text, begin, start) {
    for (let at = start; (at = text.indexOf("\n", at)) >= 0; at++) {
      if (hasSome(text, begin, at)) return end(at + 1, at + 1, true);
    }
    return null;
  }

  function paragraphEnd(text, begin, start, isWhole) {
    for (const { index, 1: second } of matches(BLANK_LINE, text, start)) {
      if (hasSome(text, begin, index) && (second || !isWhole)) {
        return end(index + 1, index, Boolean(second));
      }
    }
    return null;
  }

  // The first word and the space before it; in scripts that separate no words, one character.
  function wordEnd(text, begin) {
    NEXT_WORD.lastIndex = begin;
    const match = NEXT_WORD.exec(text), at = NEXT_WORD.lastIndex;
    if (match === null || at === text.length) return null; // a letter or mark may follow
    return end(at, at, true);
  }

  const documentEnd = (separator) => (text, begin, start, isWhole) => {
    for (const { index, 0: found } of separator.matches(text, start)) {
      const at = index + found.length;
      if (found && hasSome(text, begin, index)) {
        return end(at, index, isWhole || at < text.length);
      }
    }
    return null;
  };

  // abbreviations: words after which a full stop ends no sentence; numbered: if a number follows.
  const sentenceEnd = ({ abbreviations, numbered }) => {
    const [short, counted] = [new Set(abbreviations), new Set(numbered)];

    // True if the full stop at `stop` belongs to an abbreviation, an initial or a number.
    function isPart(text, begin, stop, following) {
      const [word] = WORD.exec(text.slice(Math.max(begin, stop - 24), stop));
      const folded = word.toLowerCase(), last = word.slice(word.lastIndexOf(".") + 1);
      if (ITEM.test(text.slice(begin, stop)) || short.has(folded)) return true;
      if (counted.has(folded)) return /^[\p{Nd}²³¹⁰⁴-⁹₀-₉]/u.test(following);
      if (Array.from(last).length === 1 && last.toLowerCase() !== last.toUpperCase()) {
        const before = text.slice(Math.max(begin, stop - 24), stop - 1).split(re(`[${SPACE}]+`));
        const words = before.filter((each) => each);
        return word !== "I" || !words.length || !/^\p{Lowercase}/u.test(words.at(-1));
      }
      return /^\p{Nd}{1,3}$/u.test(word);
    }

    return (text, begin, start, isWhole) => {
      for (const match of matches(CANDIDATE, text, start)) {
        const { index, 0: whole } = match, mark = match[1] || match[2];
        if (!CONTENT.test(text.slice(begin, index))) continue;
        if (!mark) {
          const isBlank = whole.endsWith("\n") && whole.length > 1;
          if (isBlank || !isWhole) return end(index, index, isBlank);
          continue;
        }
        const at = NEXT.lastIndex = index + whole.length;
        const [read, space, first] = NEXT.exec(text);
        if (!space && !UNSPACED.includes(mark.at(-1))) {
          if (at < text.length) continue;
        } else if (space.split("\n").length > 2) {
          return end(at, at + space.length, true);
        } else if (first && CONTINUES.test(first)) {
          continue;
        }
        if (mark === "." && isPart(text, begin, index, first)) continue;
        return end(at, index, first !== "" || isWhole);
      }
      return null;
    };
  };

  // Passes characters through up to the end of a unit, which may begin in `before`; what follows a
  // possible end is held back until the end is certain or none. reach: how long an end may be.
  class Limit {
    constructor(find, before = "", reach = 1) {
      Object.assign(this, { find, reach, text: before, begin: 0, search: 0, reached: false });
      this.passed = this.start = before.length;
      for (let next; (next = find(before, this.begin, this.search, true)) !== null;) {
        this.begin = this.search = Math.max(next.at, next.search);
      }
    }

    // The characters that are certain to belong to the text, or all. mayEnd: whether the text may
    // end after these first characters.
    feed(piece, isWhole, mayEnd) {
      this.text += piece;
      let stop = this.text.length;
      for (;;) {
        const next = this.find(this.text, this.begin, this.search, isWhole);
        if (next === null) {
          this.search = Math.max(this.search, this.text.length - this.reach);
          break;
        }
        this.search = next.search;
        if (!next.isCertain) {
          stop = next.at;
          break;
        }
        this.begin = this.search = Math.max(next.at, next.search);
        if (next.at > this.start && mayEnd(this.text.slice(this.start, next.at))) {
          stop = next.at;
          this.reached = true;
          break;
        }
      }
      stop = Math.max(stop, this.passed);
      const certain = this.text.slice(this.passed, stop);
      this.passed = stop;
      return certain;
    }
  }

  // One text, as it is written. before: the symbols before it. A separator of documents ends every
  // smaller unit as well. `mayEnd` receives the number of symbols after which known words may end.
  class Ending {
    constructor({ vocabulary, documents, endings }, until, before) {
      const earlier = before.join(""), decode = vocabulary.decoder();
      const finders = { line: lineEnd, paragraph: paragraphEnd, sentence: sentenceEnd(endings) };
      this.decode = vocabulary.decoder();
      this.lengthOf = (text) => vocabulary.symbolsOf(text).length;
      this.reached = false;
      this.accepted = [true]; // whether the text may end after 0, 1, 2, ... symbols
      this.document = this.unit = null;
      if (until === "document" && !documents) {
        throw new Error("This network's text had no documents.");
      }
      if (until && until !== "word" && documents) {
        this.document = new Limit(documentEnd(documents), earlier, LONGEST);
      }
      if (until === "word") this.unit = new Limit(wordEnd);
      if (until in finders) this.unit = new Limit(finders[until], decode(before, true));
    }

    // A byte that is no character has become one of three bytes, so a length may be beyond the end.
    mayEndAfter(text) {
      return this.accepted[Math.min(this.lengthOf(text), this.accepted.length - 1)];
    }

    // The characters that the next symbol completes, if any, or all; mayEnd: of known words.
    feed(symbols, isLast = false, mayEnd = true) {
      if (symbols.length) this.accepted.push(mayEnd);
      let piece = symbols.join("");
      if (this.document) {
        piece = this.document.feed(piece, isLast, (text) => this.accepted[Array.from(text).length]);
        this.reached = this.document.reached;
        isLast ||= this.reached;
      }
      piece = this.decode(Array.from(piece), isLast);
      if (this.unit) {
        piece = this.unit.feed(piece, isLast, (text) => this.mayEndAfter(text));
        this.reached ||= this.unit.reached;
      }
      return piece;
    }
  }

  Object.assign(globalThis, { Ending, matches });
}
