"use strict";
// The backend of the writing page that asks the server which the page came from (`charrnn serve`).
(() => {
  const LONGEST = 16384; // characters of a text that are read
  const SINGLE = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}" +
    "\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}\\p{Script=Tibetan}";
  const WORD = new RegExp(`^\\s*(?:([${SINGLE}]\\p{M}*)|[^\\s${SINGLE}]+)`, "u");

  class ServerBackend {
    #facts;
    #form;
    #longest;
    #tokens;
    #scored = { text: "", surprises: [], unknown: [] };

    constructor(data) {
      this.#facts = data.about;
      this.#form = data.normalize;
      this.#longest = Math.min(LONGEST, data.limits.prompt);
      this.#tokens = data.limits.tokens;
    }

    async about() {
      return this.#facts;
    }

    /** The surprise of each symbol, nats; only those after what was scored last are computed. */
    async score(text, { signal } = {}) {
      const { text: read, told } = normalized(text, this.#form);
      const { rest, before } = this.#end(read);
      const old = this.#scored;
      let from = 0;
      const symbols = this.#symbols(rest), known = this.#symbols(old.text);
      while (from < known.length && from < symbols.length && known[from] === symbols[from]) from++;
      const answer = await asked("v1/score", { text: rest, from }, signal);
      const surprises = old.surprises.slice(0, from)
        .concat(answer.surprises.map((each) => each ?? NaN));
      this.#scored = { text: rest, surprises };
      return {
        surprises: told(Float64Array.from([...new Array(before).fill(NaN), ...surprises])),
        unknown: answer.unknown,
      };
    }

    async next(text, settings, count, { signal } = {}) {
      const { rest } = this.#end(text);
      const body = { ...controls(settings), prompt: rest, count };
      return (await asked("v1/next", body, signal, settings.seed)).next;
    }

    /** Continue a text. A word ends where the one after it would begin. */
    async write(text, settings, { onText = () => {}, signal } = {}) {
      const { rest } = this.#end(text), isWord = settings.until === "word";
      const length = Math.min(settings.length, this.#tokens);
      const body = { ...controls(settings), prompt: rest, max_tokens: length, stream: true };
      if (settings.until && !isWord) body.until = settings.until;
      const own = new AbortController();
      const stop = () => own.abort();
      if (signal?.aborted) return { text: "", ended: "stopped" };
      signal?.addEventListener("abort", stop, { once: true });
      let written = "", passed = 0, ended = "stopped";
      const pass = (end) => {
        if (end > passed) onText(written.slice(passed, end));
        passed = Math.max(passed, end);
      };
      try {
        for await (const event of events("v1/completions", body, own.signal, settings.seed)) {
          for (const choice of event.choices) {
            written += choice.text;
            const match = isWord ? WORD.exec(written) : null;
            if (match && match[0].length < written.length) {
              pass(match[0].length);
              return { text: written.slice(0, passed), ended: "until" };
            }
            pass(written.length);
            if (choice.finish_reason) ended = choice.finish_reason === "stop" ? "until" : "length";
          }
        }
      } catch (error) {
        if (!signal?.aborted) throw error;
        ended = "stopped";
      } finally {
        signal?.removeEventListener("abort", stop);
        own.abort(); // the server writes no more
      }
      return { text: written, ended };
    }

    #symbols(text) {
      return this.#facts.unit === "byte" ? new TextEncoder().encode(text) : Array.from(text);
    }

    /** The end of a long text, from a place that depends on its length only, and how many symbols
     *  precede it. */
    #end(text) {
      const characters = Array.from(text), excess = characters.length - this.#longest;
      if (excess <= 0) return { rest: text, before: 0 };
      const part = Math.ceil(this.#longest / 2), first = Math.ceil(excess / part) * part;
      const before = this.#symbols(characters.slice(0, first).join("")).length;
      return { rest: characters.slice(first).join(""), before };
    }
  }

  function controls(settings) {
    const { temperature, topK, topP, minP, take, knownWords, start } = settings;
    const body = { temperature, top_k: topK, top_p: topP, min_p: minP, take, unknown: "nearest" };
    if (knownWords) body.known_words = true;
    if (start !== undefined && start !== null) body.start = start;
    return body;
  }

  /** The response to a request. The seed may have more digits than a number holds. */
  async function response(path, body, signal, seed) {
    let json = JSON.stringify(body);
    if (/^[0-9]+$/.test(String(seed ?? ""))) json = `${json.slice(0, -1)},"seed":${seed}}`;
    let answer;
    try {
      const headers = { "Content-Type": "application/json" };
      const url = new URL(path, location.origin + location.pathname); // without a password in it
      answer = await fetch(url, { method: "POST", headers, body: json, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer. Is charrnn serve still running?");
    }
    if (answer.ok) return answer;
    let message = `The server answers with status ${answer.status}.`;
    try {
      message = (await answer.json()).error.message;
    } catch { /* no message of ours */ }
    throw new Error(message);
  }

  async function asked(path, body, signal, seed) {
    return (await response(path, body, signal, seed)).json();
  }

  /** The server-sent events of a request. */
  async function* events(path, body, signal, seed) {
    const answer = await response(path, body, signal, seed);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error("The server stopped in the middle of its answer.");
      text += value;
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        const data = text.slice("data: ".length, end);
        text = text.slice(end + 2);
        if (data === "[DONE]") return;
        const event = JSON.parse(data);
        if (event.error) throw new Error(event.error.message);
        yield event;
      }
    }
  }

  globalThis.makeBackend = async (data) => new ServerBackend(data);
})();
