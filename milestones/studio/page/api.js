// The three ways to the server: questions by fetch, events of runs, and the desk, which has PyTorch.

/** GET as JSON. Throws an Error whose message is the server's one line. */
export async function get(path) {
  return answer(await fetch(`/api/${path}`, { credentials: "same-origin" }));
}

/** POST JSON (or bytes), and the answer as JSON. */
export async function post(path, body = {}) {
  const raw = body instanceof Blob || body instanceof ArrayBuffer;
  return answer(await fetch(`/api/${path}`, {
    method: "POST", credentials: "same-origin", body: raw ? body : JSON.stringify(body),
    headers: { "X-Milestones": "1", "Content-Type": raw ? "application/octet-stream" : "application/json" },
  }));
}

async function answer(response) {
  const content = await response.json().catch(() => ({ error: `The studio answered ${response.status}.` }));
  if (!response.ok) throw new Error(content.error || `The studio answered ${response.status}.`);
  return content;
}

/** Events of runs, over lost connections and sleeping laptops: it goes on from the offsets where it was.
 *  onRuns(list); onRows(run, rows, restarted); onLink(true, false, or "key": the studio was started again and wants the
 *  new link opened; again: true on the first true after it was lost). Returns {follow(run, offset), unfollow(run), close()}. */
export function events({ onRuns, onRows, onLink }) {
  const offsets = new Map();
  let source, closed = false, wait = 500, timer, lost = false, heard = Date.now();
  const lose = async () => {
    lost = true;
    source.close();
    clearTimeout(timer);
    timer = setTimeout(connect, wait);
    wait = Math.min(5000, wait * 2);
    const answer = await fetch("/api/me", { credentials: "same-origin" }).catch(() => null);
    if (lost && !closed) onLink?.(answer?.status === 401 ? "key" : false);
  };
  const wake = () => { if (document.visibilityState === "visible" && (lost || Date.now() - heard > 40000)) { wait = 500; connect(); } };
  const watch = setInterval(wake, 10000);
  for (const [where, what] of [[window, "online"], [document, "visibilitychange"]]) where.addEventListener(what, wake);
  function connect() {
    clearTimeout(timer);
    source?.close();
    heard = Date.now();
    if (closed) return;
    const follow = [...offsets].map(([run, at]) => `${run}@${at}`).join(",");
    source = new EventSource(`/api/events?follow=${encodeURIComponent(follow)}`);
    source.onopen = () => { const again = lost; wait = 500; lost = false; onLink?.(true, again); };
    source.addEventListener("alive", () => { heard = Date.now(); });
    source.addEventListener("runs", (event) => { heard = Date.now(); onRuns?.(JSON.parse(event.data)); });
    source.addEventListener("rows", (event) => {
      heard = Date.now();
      const told = JSON.parse(event.data);
      if (!offsets.has(told.run)) return;
      const restarted = told.offset < offsets.get(told.run);
      offsets.set(told.run, told.offset);
      onRows?.(told.run, told.rows, restarted);
    });
    source.onerror = lose;
  }
  connect();
  return {
    follow(run, offset) { offsets.set(run, offset); connect(); },
    unfollow(run) { offsets.delete(run); connect(); },
    close() {
      closed = true;
      clearTimeout(timer);
      clearInterval(watch);
      for (const [where, what] of [[window, "online"], [document, "visibilitychange"]]) where.removeEventListener(what, wake);
      source?.close();
    },
  };
}

const decoder = new TextDecoder(), encoder = new TextEncoder();
const TYPES = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array };

/** A message of the desk taken apart: {...header, arrays: {name: {shape, data}}}. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  const body = buffer.slice(4 + length), arrays = {};
  for (const { name, dtype, shape, at } of header.arrays || []) {
    arrays[name] = { shape, data: new TYPES[dtype](body, at, shape.reduce((a, b) => a * b, 1)) };
  }
  return { ...header, arrays };
}

function pack(header, payload) {
  const text = encoder.encode(JSON.stringify(header));
  const bytes = new Uint8Array(4 + text.length + (payload?.byteLength || 0));
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  if (payload) bytes.set(new Uint8Array(payload.buffer ?? payload, payload.byteOffset ?? 0, payload.byteLength), 4 + text.length);
  return bytes;
}

class Desk {
  constructor() { this.waiting = new Map(); this.number = 0; this.socket = null; this.opened = null; }
  _open() {
    if (this.socket && this.socket.readyState <= 1) return this.opened;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/desk`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.opened = new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onclose = (event) => {
        const problem = new Error(event.code === 4403 ? "This studio is shared for looking only." : event.reason || "The desk was closed; try again.");
        reject(problem);
        for (const [, asked] of this.waiting) asked.reject(problem);
        this.waiting.clear();
      };
    });
    this.opened.catch(() => {});
    socket.onmessage = ({ data }) => {
      const told = unpack(data), asked = this.waiting.get(told.id);
      if (!asked) return;
      if (told.last) this.waiting.delete(told.id);
      if (told.error) asked.reject(new Error(told.error));
      else if (asked.each && !told.last) asked.each(told);
      else if (told.last) asked.resolve(told);
    };
    return this.opened;
  }
  /** Ask once: ask({do: "use", run, kind: "image"}, bytes) -> the answer. A stream tells each(answer) until its last.
   *  The promise has .id, for cancel(id). */
  ask(header, payload, each) {
    const id = ++this.number;
    const promise = (async () => {
      await this._open();
      return new Promise((resolve, reject) => {
        this.waiting.set(id, { resolve, reject, each });
        this.socket.send(pack({ ...header, id }, payload));
      });
    })();
    promise.id = id;
    return promise;
  }
  /** End a stream; what waits for its end goes on at once. */
  cancel(id) {
    const asked = this.waiting.get(id);
    this.waiting.delete(id);
    asked?.resolve({ id, last: true, cancelled: true, arrays: {} });
    return this.ask({ do: "cancel", of: id }).catch(() => {});
  }
}
export const desk = new Desk();
