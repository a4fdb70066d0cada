"use strict";
// A text in the Unicode normalization form in which its network reads it.
{
  // A character with those after it that it may become one with: marks, and Hangul's letters.
  const PIECE = /[^][\p{M}\u1160-\u11ff\u3131-\u318e\uff9e-\uffdc]*/gu;
  const count = (text) => Array.from(text).length;

  // The text in a form, or as it is with "none", and `told`: from the surprise of each of its
  // characters to that of each of the original's. What has changed has its sum, and then zeros.
  function normalized(text, form) {
    if (form === "none" || text.normalize(form) === text) {
      return { text, told: (surprises) => surprises };
    }
    const pieces = text.match(PIECE).map((piece) => [piece, piece.normalize(form)]);
    const told = (surprises) => {
      let place = 0;
      return Float64Array.from(pieces.flatMap(([piece, read]) => {
        const own = Array.from(surprises.slice(place, place += count(read)));
        if (piece === read) return own;
        return [own.reduce((a, b) => a + b), ...new Array(count(piece) - 1).fill(0)];
      }));
    };
    return { text: pieces.map(([, read]) => read).join(""), told };
  }

  Object.assign(globalThis, { normalized });
}
