// A backend without a network: it goes on with the words below, whatever stands before, and notes
// what it is asked. Each word takes `data.pause` milliseconds, which a signal cuts short.
(() => {
  const WORDS = ("the old king said nothing.\nThen she laughed, and the naïve \u{1f600} cafe\u0301 " +
    "was dark again.\n\nNobody came. ").match(/\s*\S+/g);
  const ENDS = { word: /\S$/, sentence: /[.]$/, line: /\n$/, paragraph: /\n\n$/ };

  globalThis.calls = [];
  globalThis.makeBackend = async (data) => {
    if (data.broken) throw new Error("The network is broken.");
    const wait = (signal) => new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason));
      setTimeout(resolve, data.pause);
    });
    return {
      about: async () => data.facts,
      async score(text, { signal }) {
        calls.push({ name: "score", text });
        await wait(signal);
        const symbols = Array.from(text), unknown = symbols.filter((s) => s === "\u20ac");
        const surprises = Float64Array.from(symbols, (symbol) => symbol === "\u20ac" ? NaN
          : { q: 8, x: 5, w: 3, k: 1 }[symbol] || 0.1);
        return { surprises, unknown: Array.from(new Set(unknown)) };
      },
      async next(text, settings, count, { signal }) {
        calls.push({ name: "next", text });
        await wait(signal);
        return Array.from("e \n<").map((symbol, n) => ({ text: symbol, probability: 0.5 / (n + 1) }))
          .slice(0, count);
      },
      async write(text, settings, { onText, signal }) {
        calls.push({ name: "write", text, settings });
        if (data.fails) throw new Error("The server does not answer.");
        if (data.pieces) {
          data.pieces.forEach(onText);
          return { text: data.pieces.join(""), ended: "until" };
        }
        if (data.silent) return { text: "", ended: "until" };
        let written = "";
        for (let n = settings.take - 1; ; n++) {
          try {
            await wait(signal);
          } catch {
            return { text: written, ended: "stopped" };
          }
          const word = (/\s$|^$/.test(text + written) ? "" : " ") + WORDS[n % WORDS.length].trim();
          const isEnd = settings.until && ENDS[settings.until].test(word);
          const piece = word + (settings.until === "line" && /[.]$/.test(word) ? "\n" : "");
          onText(piece);
          written += piece;
          if (isEnd || (settings.until && ENDS[settings.until].test(piece))) {
            return { text: written, ended: "until" };
          }
          if (Array.from(written).length >= settings.length) return { text: written, ended: "length" };
        }
      },
    };
  };
})();
