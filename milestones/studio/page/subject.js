// What attack, look and landscape share: which run, which example, and how an input is drawn.
import { h, fill, field, choice, digits, token } from "./dom.js";
import { get } from "./api.js";
import { matrix, rgb } from "./media.js";

/** Runs that can answer, the user's newest first; with "probe", those whose page has one. Returns {fit, named}. */
export async function runsFor(named, need = "") {
  const runs = (await get("runs")).filter((r) => !r.problem && r.state === "finished");
  const has = need ? Object.fromEntries((await get("timeline")).map((page) => [page.name, page[need]])) : {};
  const fit = runs.filter((r) => !need || has[r.system]).map((r) => r.run);
  return { fit, run: named || fit.find((r) => r.startsWith("shipped:")) || fit[0] || "" };
}

/** A run's name for people. */
export const nameOf = (run) => run.startsWith("shipped:") ? `${run.slice(8)} (shipped)` : run;

/** A select of runs; the named one is in it even where it does not fit. */
export function runChoice(fit, run, onchange) {
  const all = fit.includes(run) || !run ? fit : [run, ...fit];
  return choice(all.map((r) => [r, nameOf(r)]), run, onchange);
}

/** One line about what went wrong, with links to runs that would do. */
export function sorry(problem, view, fit) {
  return h("div.error", { role: "alert" }, h("p", { style: { margin: 0 } }, problem.message),
    fit.length ? h("p.small", { style: { margin: "6px 0 0" } }, "Runs that can: ",
      fit.slice(0, 8).map((r, k) => [k ? ", " : "", h("a", { href: `#/${view}/${encodeURIComponent(r)}` }, nameOf(r))])) : null);
}

/** Which example: a number with two buttons, or a picture of the user's own. onchange(); returns {node, ask(), set(n), meet(told)}. */
export function exampleChoice(number, onchange) {
  let own = null;
  const input = h("input", { type: "number", min: 1, value: number, step: 1, oninput: () => { if (input.checkValidity() && input.value) { drop(); onchange(); } } });
  const step = (by) => () => { input.value = Math.max(1, Math.min(+input.max || 1e9, (+input.value || 1) + by)); drop(); onchange(); };
  const picked = h("span.small.soft");
  const file = h("input.visually-hidden", { type: "file", accept: "image/*", "aria-label": "A picture of your own", onchange: async () => {
    if (!file.files[0]) return;
    own = { header: { kind: "image" }, payload: await file.files[0].arrayBuffer() };
    fill(picked, "your picture is shown");
    file.value = "";
    onchange();
  } });
  const upload = h("label.button.look-file", { hidden: true }, "Your picture ", file);
  const node = h("div", field("Test example", input), h("div.row", { style: { marginBottom: "12px" } },
    h("button", { type: "button", "aria-label": "Example before", onclick: step(-1) }, "←"),
    h("button", { type: "button", "aria-label": "Next example", onclick: step(1) }, "→"), upload, picked));
  function drop() { own = null; fill(picked); }
  return {
    node,
    get own() { return own !== null; },
    get number() { return +input.value || 1; },
    set(n) { input.value = n; drop(); },
    ask: () => own ? [own.header, own.payload] : [{ example: +input.value || 1 }],
    meet(told) {
      if (told.count) input.max = told.count;
      upload.hidden = !told.own?.includes("image");
    },
  };
}

/** A function that asks with the newest arguments only: while one question is on its way, of those that come the last counts. */
export function newest(ask) {
  let busy = false, next = null;
  return async function again(...words) {
    if (busy) { next = words; return; }
    busy = true;
    try { await ask(...words); } finally {
      busy = false;
      if (next) { const then = next; next = null; again(...then); }
    }
  };
}

/** Draw an array "H W C" into a canvas, in place. */
export function paint(canvas, { shape, data }, size = 0) {
  const [height, width, channels] = [shape[0], shape[1], shape[2] || 1];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = data[i * channels + (channels >= 3 ? c : 0)];
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  if (size) canvas.style.width = `${size}px`;
  return pixels;
}

/** Numbers of any shape as rows of a matrix: the last axis across. */
export function rowsOf({ shape, data }) {
  const wide = shape[shape.length - 1] || 1;
  return Array.from({ length: data.length / wide }, (_, r) => Array.from(data.subarray(r * wide, (r + 1) * wide)));
}

/** An input that is no picture: a heat map. */
export const heatOf = (array, label) => matrix(rowsOf(array), { width: 240, label });

/** A map over its input: for the class in one colour, against it in another, the stronger the more. */
export function overlay(canvas, input, map, share) {
  const picture = input.data instanceof Uint8Array, [H, W] = map.shape.length > 1 ? map.shape.slice(-2) : [1, map.shape[0]];
  Object.assign(canvas, { width: W, height: H });
  const most = scaleOf(map.data), pixels = new ImageData(W, H);
  const [plus, minus, paper] = ["--positive", "--negative", "--sunk"].map((name) => rgb(token(name)));
  const channels = input.shape[2] || 1;
  for (let i = 0; i < W * H; i++) {
    const v = map.data[i] / most, alpha = Math.min(1, Math.abs(v)) * (picture ? share : 1), ink = v < 0 ? minus : plus;
    for (let c = 0; c < 3; c++) {
      const below = picture ? input.data[i * channels + (channels >= 3 ? c : 0)] : paper[c];
      pixels.data[4 * i + c] = below + (ink[c] - below) * alpha;
    }
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** The size at which a map has its full colour: its largest, but for one in a hundred. */
export function scaleOf(data) {
  const sorted = Float32Array.from(data, Math.abs).sort();
  return sorted[Math.floor(.99 * (sorted.length - 1))] || sorted[sorted.length - 1] || 1;
}

/** Bars to both sides of 0, one for each name; those with the longest, at most `most`. */
export function sideBars(names, values, most = 12) {
  const order = names.map((_, i) => i).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a])).slice(0, most);
  const top = Math.max(...order.map((i) => Math.abs(values[i]))) || 1;
  return h("div.look-sides", order.map((i) => h("div", h("span.small", names[i]),
    h("span.look-side", h("i", { style: { width: `${50 * Math.abs(values[i]) / top}%`, left: values[i] < 0 ? `${50 - 50 * Math.abs(values[i]) / top}%` : "50%",
      background: token(values[i] < 0 ? "--negative" : "--positive") } })), h("span.num.small", digits(values[i], 3)))));
}
