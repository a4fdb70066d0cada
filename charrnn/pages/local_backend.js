"use strict";
// The backend of a page that holds its network itself. The network works in a worker, whose source
// are these scripts; where a page from disk may have none, it works between the page's own tasks.
{
  const SLICE = 12; // milliseconds of work between two looks at what else there is to do
  const PATIENCE = 5000; // milliseconds for a worker to begin
  const SOURCES = ["random.js", "normalization.js", "vocabulary.js", "cells.js", "attention.js",
    "mogrifier.js", "network.js", "mixture.js", "sampling.js", "endings.js", "documents.js",
    "known_words.js", "continuing.js", "local_backend.js"];

  // The network's side of a port: it answers {id, method, data}, and stops at {id, stop}.
  function serve(port) {
    const wanted = new Set(), waiting = [], channel = new MessageChannel();
    let continuer = null, since = performance.now();
    channel.port1.onmessage = () => {
      since = performance.now();
      waiting.shift()();
    };
    const turn = () => new Promise((resolve) => {
      waiting.push(resolve);
      channel.port2.postMessage(0);
    });

    async function answer({ id, method, data }) {
      const pause = async () => {
        if (performance.now() - since > SLICE) await turn();
        if (!wanted.has(id)) throw new Error("stopped");
      };
      if (method === "load") {
        continuer = new Continuer(data);
        return true;
      }
      const { text, settings, count } = data;
      if (method === "score") return continuer.score(text, pause);
      if (method === "next") return continuer.next(text, settings, count, pause);
      return continuer.write(text, settings, (piece) => port.postMessage({ id, piece }), pause);
    }

    port.onmessage = async ({ data: message }) => {
      const { id } = message;
      if (message.stop) return void wanted.delete(id);
      wanted.add(id);
      try {
        port.postMessage({ id, result: await answer(message) });
      } catch (error) {
        port.postMessage({ id, error: String(error.message || error) });
      }
      wanted.delete(id);
    };
    port.postMessage({ ready: true });
  }

  // A port whose other end serves: a worker's, or one of this page.
  async function opened() {
    const source = SOURCES.map((id) => document.getElementById(id).textContent).join("\n");
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    let worker = null;
    try {
      worker = new Worker(url);
      await new Promise((resolve, reject) => {
        worker.onmessage = resolve;
        worker.onerror = reject;
        setTimeout(reject, PATIENCE, new Error("no worker"));
      });
      return worker;
    } catch {
      if (worker) worker.terminate();
      const { port1, port2 } = new MessageChannel();
      serve(port2);
      return port1;
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  class LocalBackend {
    // data: what export/html.py puts into a page.
    static async open(data) {
      const backend = new LocalBackend(data.about, await opened());
      await backend.ask("load", data);
      return backend;
    }

    constructor(facts, port) {
      this.facts = facts;
      this.port = port;
      this.calls = new Map();
      this.count = 0;
      this.failure = null;
      port.onerror = ({ message }) => this.fail(`The network has stopped: ${message}`);
      port.onmessage = ({ data: { id, piece, result, error } }) => {
        const call = this.calls.get(id);
        if (call === undefined) return; // it was stopped
        if (piece !== undefined) return void call.onText(piece);
        this.calls.delete(id);
        if (error === undefined) call.resolve(result); else call.reject(new Error(error));
      };
    }

    // The network has failed for good, such as for want of memory.
    fail(message) {
      this.failure = new Error(message);
      for (const { reject } of this.calls.values()) reject(this.failure);
      this.calls.clear();
    }

    // The answer to a call. Once its signal is aborted, nothing of it is heard any more.
    ask(method, data, { signal, onText, onStop } = {}) {
      return new Promise((resolve, reject) => {
        if (this.failure) return reject(this.failure);
        const id = ++this.count, stop = () => {
          if (!this.calls.delete(id)) return;
          this.port.postMessage({ id, stop: true });
          if (onStop) resolve(onStop()); else reject(signal.reason);
        };
        this.calls.set(id, { resolve, reject, onText });
        if (signal && signal.aborted) return stop();
        if (signal) signal.addEventListener("abort", stop, { once: true });
        this.port.postMessage({ id, method, data });
      });
    }

    async about() { return this.facts; }

    score(text, { signal } = {}) { return this.ask("score", { text }, { signal }); }

    next(text, settings, count, { signal } = {}) {
      return this.ask("next", { text, settings, count }, { signal });
    }

    write(text, settings, { onText = () => {}, signal } = {}) {
      let written = "";
      return this.ask("write", { text, settings }, {
        signal,
        onText: (piece) => {
          written += piece;
          onText(piece);
        },
        onStop: () => ({ text: written, ended: "stopped" }),
      });
    }
  }

  globalThis.LocalBackend = LocalBackend;
  globalThis.makeBackend = (data) => LocalBackend.open(data);
  if (typeof document === "undefined" && typeof importScripts === "function") serve(globalThis);
}
