"use strict";
// A network, or several, that continues a text at any place, while the text changes: it keeps its states at
// places that it has read, by what stands before them.
{
  const EVERY = 32; // symbols between two stored states
  const MOST = 4096, SCORED = 32768; // symbols to read, to go on and to score; of a longer text,
  // the last ones, at least half as many
  const LINE = 512; // within which reading then begins with a line
  const BEFORE = 1024; // symbols before a text in which its first sentence or line may begin
  const MOST_BYTES = 1 << 26; // of stored states; those not used for the longest time go first

  // A place in a text: a state that has read all but the last symbol, and what comes next.
  class Walk {
    constructor(continuer, start, mark) {
      this.continuer = continuer;
      this.start = start;
      this.state = mark.state.slice();
      this.last = mark.last;
      this.count = mark.count;
      this.hash = mark.hash;
      this.tracker = mark.tracker && mark.tracker.copy();
      this.surprises = mark.surprises.slice(); // since the last multiple of EVERY
      this.outlook = null;
    }

    // What is expected as the next symbol, as a network's `predict`.
    predict() {
      if (this.outlook === null) {
        this.continuer.network.step(this.state, this.last);
        const { own, copied } = this.continuer.network.predict();
        if (!own.every(Number.isFinite)) throw new Error("The network's numbers overflow.");
        this.outlook = { own: own.slice(), copied: copied && copied.slice() };
      }
      return this.outlook;
    }

    // Go on to the next symbol, which is this one.
    follow(id) {
      if (this.count % EVERY === 0) this.surprises = [];
      this.surprises.push(surprise(this.predict(), id));
      this.outlook = null;
      this.last = id;
      const symbol = this.continuer.vocabulary.character(id);
      if (this.tracker && this.tracker.resetsBefore(symbol)) this.state.fill(0);
      this.count++;
      this.hash = hashed(this.hash, id);
      if (this.count % EVERY === 0) this.continuer.store(this);
    }
  }

  // Two hashes of 32 bits of the symbols so far.
  const hashed = ([a, b], id) => [
    Math.imul(a ^ (id + 1), 0x01000193), (Math.imul(b, 0x5bd1e995) + id + 1) ^ (b >>> 15)];
  const keyOf = (start, count, [a, b]) => `${start} ${count} ${a} ${b}`;

  // -ln of the probability of a symbol.
  function surprise(outlook, id) {
    const logits = blended(outlook, 1);
    let largest = -Infinity, total = 0;
    for (const logit of logits) if (logit > largest) largest = logit;
    for (const logit of logits) total += Math.exp(logit - largest);
    return Math.log(total) + largest - logits[id];
  }

  // data: what export/html.py puts into a page.
  class Continuer {
    constructor(data) {
      this.network = networkOf(data.networks);
      this.vocabulary = new Vocabulary(data.vocabulary);
      this.form = data.normalize;
      this.documents = data.separator && new Separator(data.separator);
      this.knownWords = data.knownWords && new KnownWords(data.knownWords, this.vocabulary);
      this.starts = this.openings(data.starts);
      this.endings = data.endings;
      this.newline = this.vocabulary.index.get("\n");
      this.marks = new Map();
      this.bytes = 0;
    }

    // The states that a text may start from, each as the mark of an empty text.
    openings({ ids, h, c }) {
      const { network } = this, L = network.layers.length, { H } = network;
      const parts = [h, c].map((data) => data && floatsOf({ kind: "bf16", data }));
      const tracker = this.documents && new DocumentTracker(this.documents);
      return ids.map((last, n) => {
        const state = new Float32Array(network.size);
        parts.forEach((numbers, which) => {
          for (let l = 0; numbers && l < L; l++) {
            const at = (l * ids.length + n) * H;
            network.part(state, which, l).set(numbers.subarray(at, at + H));
          }
        });
        return { state, last, count: 0, hash: [0, 0], tracker, surprises: [] };
      });
    }

    // Which start state a text has: settings.start, so that takes of a long text need not read it
    // again for each, or that of a take of a seed (StartStates.chosen).
    startOf({ seed, take, start }) {
      if (start !== undefined && start !== null) return start % this.starts.length;
      const first = BigInt(new SeedSequence([seed, 0x57a7]).state(1)[0]);
      return Number((first + BigInt(take) - 1n) % BigInt(this.starts.length));
    }

    store(walk) {
      const { state, last, count, hash, tracker, surprises } = walk;
      const key = keyOf(walk.start, count, hash);
      if (!this.marks.delete(key)) this.bytes += 4 * state.length + 8 * surprises.length + 256;
      this.marks.set(key, { state: state.slice(), last, count, hash,
        surprises: surprises.slice(), tracker: tracker && tracker.copy() });
      while (this.bytes > MOST_BYTES) {
        const [oldest, mark] = this.marks.entries().next().value;
        this.marks.delete(oldest);
        this.bytes -= 4 * mark.state.length + 8 * mark.surprises.length + 256;
      }
    }

    // Where the network begins to read these ids: the same place for any text that begins so, up to
    // a length, so that states need not be computed anew for each new symbol.
    beginOf(ids, most) {
      if (ids.length <= most) return 0;
      const least = most / 2, begin = Math.floor((ids.length - least) / least) * least;
      const line = ids.indexOf(this.newline, begin);
      return line >= 0 && line < begin + LINE ? line + 1 : begin;
    }

    // A walk at the end of these ids, and the surprise of each of them, NaN for those that were not
    // read. `pause` is awaited often: it lets others work, and throws once this is not wanted.
    async read(ids, start, pause, most = MOST) {
      const begin = this.beginOf(ids, most), surprises = new Float64Array(ids.length).fill(NaN);
      let mark = this.starts[start], hash = mark.hash;
      for (let n = begin; n < ids.length; n++) {
        hash = hashed(hash, ids[n]);
        const count = n + 1 - begin;
        if (count % EVERY && n + 1 < ids.length) continue;
        const key = keyOf(start, count, hash), next = this.marks.get(key);
        if (next === undefined) break;
        this.marks.delete(key);
        this.marks.set(key, next); // the last to be thrown away
        surprises.set(next.surprises, n + 1 - next.surprises.length);
        mark = next;
      }
      const walk = new Walk(this, start, mark);
      for (let n = begin + walk.count; n < ids.length; n++) {
        await pause();
        walk.follow(ids[n]);
        surprises[n] = walk.surprises.at(-1);
      }
      if (walk.count) this.store(walk);
      return { walk, surprises };
    }

    async score(text, pause) {
      const { text: read, told } = normalized(text, this.form);
      const { ids, places, lacking, count } = this.vocabulary.encode(read);
      const { surprises } = await this.read(ids, 0, pause, SCORED);
      const result = new Float64Array(count).fill(NaN);
      places.forEach((place, n) => { if (place >= 0) result[place] = surprises[n]; });
      return { surprises: told(result), unknown: lacking };
    }

    // The weights with which the next symbol is drawn, and the most probable one; null if none may
    // follow. state: of the known words; left: how many symbols may still be written.
    weighed(walk, settings, state, left) {
      const row = blended(walk.predict(), settings.temperature);
      if (this.vocabulary.unknown !== null) row[this.vocabulary.unknown] = -Infinity;
      if (state !== null && !this.knownWords.constrain(row, state, left)) return null;
      const best = weigh(row, settings);
      return { row, best };
    }

    wordsAfter(text, settings) {
      if (!settings.knownWords) return null;
      if (!this.knownWords) throw new Error("This page has no list of known words.");
      return this.knownWords.after(text);
    }

    async next(typed, settings, count, pause) {
      const { text } = normalized(typed, this.form);
      const { ids } = this.vocabulary.encode(text);
      const { walk } = await this.read(ids, this.startOf(settings), pause);
      const words = this.wordsAfter(text, settings);
      const weights = this.weighed(walk, settings, words, Infinity);
      if (weights === null) return [];
      const total = weights.row.reduce((sum, weight) => sum + weight, 0);
      return Array.from(weights.row, (weight, id) => ({ id, probability: weight / total }))
        .filter(({ probability }) => probability > 0)
        .sort((a, b) => b.probability - a.probability)
        .slice(0, count)
        .map(({ id, probability }) => ({ text: this.vocabulary.character(id), probability }));
    }

    // What `charrnn sample --prime TEXT` writes; onText is called with each piece.
    async write(typed, settings, onText, pause) {
      const { vocabulary } = this, { text } = normalized(typed, this.form);
      const { ids } = vocabulary.encode(text);
      const before = ids.slice(-BEFORE).map((id) => vocabulary.character(id));
      const ending = new Ending(this, settings.until, before);
      let words = this.wordsAfter(text, settings), written = "", isOver = false;
      const { walk } = await this.read(ids, this.startOf(settings), pause);
      const random = new Generator(settings.seed, BigInt(settings.take) - 1n);
      const add = (piece) => {
        written += piece;
        if (piece) onText(piece);
      };
      for (let left = settings.length; left > 0 && !ending.reached && !isOver; left--) {
        await pause();
        const weights = this.weighed(walk, settings, words, left);
        isOver = weights === null; // no known word may follow
        if (isOver) break;
        const id = pick(weights.row, weights.best, random.random());
        walk.follow(id);
        if (words !== null) words = this.knownWords.follow(words, id);
        add(ending.feed([vocabulary.character(id)], false, this.mayEnd(words)));
      }
      if (!ending.reached) add(ending.feed([], true));
      return { text: written, ended: ending.reached || isOver ? "until" : "length" };
    }

    mayEnd(state) { return state === null || this.knownWords.mayEnd(state); }
  }

  Object.assign(globalThis, { Continuer });
}
