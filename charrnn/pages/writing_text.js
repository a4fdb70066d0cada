"use strict";
// What is known of a text: words, characters as people see them, their surprise. Places are in
// UTF-16 units, as in a text area; a network's symbols are code points or UTF-8 bytes.
globalThis.charrnn = globalThis.charrnn || {};
(() => {
  const [TWO, TEN, HUNDRED, THOUSAND] = [2, 10, 100, 1000].map(Math.log);
  const UNSPACED = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmr}\p{sc=Mymr}]/u;
  const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufefc]/;
  const names = { " ": "space", "\n": "newline", "\t": "tab" };
  const segmenters = typeof Intl.Segmenter === "function" ? {
    grapheme: new Intl.Segmenter(undefined, { granularity: "grapheme" }),
    word: new Intl.Segmenter(undefined, { granularity: "word" }),
  } : null;

  // A symbol as it is named in a sentence; of bytes, those that are no character.
  function nameOf(symbol, unit) {
    const code = symbol.codePointAt(0).toString(16);
    if (unit === "byte" && symbol > "\x7f") return "byte 0x" + code;
    if (names[symbol]) return names[symbol];
    const isSeen = !/^[\p{C}\p{Z}\p{DI}]$/u.test(symbol);
    const [open, close] = RIGHT_TO_LEFT.test(symbol) ? ["\u2068", "\u2069"] : ["", ""]; // isolated
    return isSeen ? open + "\u201c" + symbol + "\u201d" + close
      : "U+" + code.toUpperCase().padStart(4, "0");
  }

  // The beginning of a text, if it has more than `most` characters.
  function shortened(text, most) {
    const all = graphemes(text);
    return all.length > most ? all.slice(0, most).join("") + "\u2026" : text;
  }

  // The symbols of a code point: itself, or its bytes as the characters of their values.
  const encoder = new TextEncoder();
  const symbolsOf = (point, unit) => unit !== "byte" || point < "\x80" ? [point]
    : Array.from(encoder.encode(point), (byte) => String.fromCharCode(byte));

  // The characters of a line as people see them, such as an e with its accent.
  function graphemes(line) {
    if (/^[\0-\x7f]*$/.test(line)) return line.split("");
    return segmenters ? Array.from(segmenters.grapheme.segment(line), (each) => each.segment)
      : Array.from(line);
  }

  // The words of a text with the space around them left out, as [start, end].
  function words(text) {
    const result = [];
    for (const match of text.matchAll(/\S+/gu)) {
      if (!segmenters || !UNSPACED.test(match[0])) {
        result.push([match.index, match.index + match[0].length]);
        continue;
      }
      for (const each of segmenters.word.segment(match[0])) {
        const start = match.index + each.index, end = start + each.segment.length;
        if (each.isWordLike || !result.length || result.at(-1)[1] !== start) {
          result.push([start, end]);
        } else result.at(-1)[1] = end; // punctuation belongs to the word before it
      }
    }
    return result;
  }

  // The beginning of a text to the end of its first word; all of it if there is none.
  function firstWord(text) {
    const first = words(text)[0];
    return first ? text.slice(0, first[1]) : text;
  }

  // The level of surprise, 0 to 4, of a loss in nats: `levels` in evaluation/score.py.
  const levelOf = (nats) => nats < TWO ? "0" : nats < TEN ? "1" : nats < HUNDRED ? "2"
    : nats < THOUSAND ? "3" : "4";

  // The surprise of each character: `levels`, one for each UTF-16 unit (x: not in the vocabulary;
  // -: not read), and `nats`, where a character begins; -1 at its other units. `surprises` are those
  // of the symbols of `text`, and `unknown` the symbols that the network does not know.
  function surpriseOf(text, { surprises, unknown }, unit) {
    const nats = new Float64Array(text.length).fill(-1), lacking = new Set(unknown);
    let levels = "", symbol = 0, place = 0;
    for (const line of text.split(/(\n)/)) {
      for (const character of graphemes(line)) {
        let sum = 0, isLacking = false;
        for (const point of character) {
          for (const each of symbolsOf(point, unit)) {
            isLacking = isLacking || lacking.has(each);
            sum += surprises[symbol++];
          }
        }
        const level = isLacking ? "x" : Number.isNaN(sum) ? "-" : levelOf(sum);
        nats[place] = isLacking ? NaN : sum;
        place += character.length;
        levels += character.length > 1 ? level.repeat(character.length) : level;
      }
    }
    if (symbol !== surprises.length) {
      throw new Error("The network scored " + surprises.length + " symbols of " + symbol + ".");
    }
    return { text, levels, nats };
  }

  // What a person who sees no colors wants to know: the number of characters that were scored, their
  // mean surprise, whether others were not read, and the `count` words that surprise most, as
  // {start, end, nats}, the most surprising first.
  function summaryOf({ text, levels, nats }, count) {
    let characters = 0, sum = 0;
    for (const each of nats) {
      if (each >= 0) { characters++; sum += each; }
    }
    const most = [];
    for (const [start, end] of words(text)) {
      let own = 0;
      for (let n = start; n < end; n++) if (nats[n] > 0) own += nats[n];
      if (own === 0 || (most.length === count && own <= most.at(-1).nats)) continue;
      most.push({ start, end, nats: own });
      most.sort((a, b) => b.nats - a.nats);
      most.length = Math.min(most.length, count);
    }
    return {
      characters, mean: characters ? sum / characters : NaN, isPart: levels.startsWith("-"),
      words: most,
    };
  }

  // Where two texts differ: from `start`, `removed` became `inserted`.
  function changeBetween(before, after) {
    const most = Math.min(before.length, after.length);
    let start = 0, end = 0;
    while (start < most && before.charCodeAt(start) === after.charCodeAt(start)) start++;
    while (end < most - start && before.charCodeAt(before.length - 1 - end) ===
      after.charCodeAt(after.length - 1 - end)) end++;
    return {
      start,
      removed: before.slice(start, before.length - end),
      inserted: after.slice(start, after.length - end),
    };
  }

  // Passes the pieces of a text on to onText with \n for \r\n and \r, as they are in a text area.
  function withNewlines(onText) {
    let last = "";
    return (piece) => {
      const rest = last === "\r" ? piece.replace(/^\n/, "") : piece;
      last = piece.at(-1) ?? last;
      if (rest) onText(rest.replace(/\r\n?/g, "\n"));
    };
  }

  Object.assign(globalThis.charrnn, {
    nameOf, shortened, graphemes, words, firstWord, surpriseOf, summaryOf, changeBetween,
    withNewlines,
  });
})();
