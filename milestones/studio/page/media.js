// Any Media that a page of the catalog answers or shows, drawn by its kind alone.
import { h, fill, digits, token, styles } from "./dom.js";
import { chart } from "./chart.js";
import { surface } from "./surface.js";

/** The kind of a plain value, by its fields: what `shows/*.json` hold says no kind. */
export function kindOf(value) {
  if (typeof value === "string") return "text";
  if (Array.isArray(value)) return value.length && value.every((v) => v && "chance" in v) ? "ranking" : "text";
  if (value && typeof value === "object") {
    for (const [field, kind] of [["frames", "video"], ["surface", "surface"], ["lines", "curve"], ["values", "heat"], ["cells", "listing"],
      ["board", "board"], ["rate_hz", "audio"], ["unit", "number"]]) if (field in value) return kind;
    return "row";
  }
  return "text";
}

const DRAW = { text, ranking, number, row, curve, heat, listing, surface };

// Kinds with a module of their own, which is loaded when the first of them comes.
const LATER = { audio: ["./sound.js", "sound"], board: ["./board.js", "board"], video: ["./film.js", "film"], attention: ["./words.js", "attention"], timed: ["./words.js", "timed"] };

function later(kind, value, array, options) {
  const [module, name] = LATER[kind], node = h("div");
  Promise.all([import(module), styles("kinds")]).then(([held]) => fill(node, kind === "audio" || kind === "video" ? held[name](value, array) : held[name](value, options)))
    .catch((failed) => fill(node, h("p.error", { role: "alert" }, failed.message)));
  return node;
}

/** Whether a matrix shares each row out among its columns: outputs that attend to words, letters or moments. */
const shares = (value) => value.rows?.length && value.columns?.length && value.values.every((line) => Math.abs(line.reduce((a, v) => a + (v ?? NaN), 0) - 1) < .02);
const SPOKEN = /word|token|letter|symbol|character/i;

/** An element for one item {kind, value} and its array, if it is a picture. */
export function draw(item, array, options = {}) {
  if (item.kind === "image") return picture(array, options);
  const kind = item.kind in LATER ? item.kind : kindOf(item.value);
  if (kind in LATER && (array || kind === "board")) return later(kind, item.value, array, options);
  const make = DRAW[item.kind] || DRAW[kindOf(item.value)];
  return make ? make(item.value, options) : h("pre", JSON.stringify(item.value, null, 1));
}

/** All items of an answer of the desk, each under its name. */
export function drawAll(told, options = {}) {
  return h("div.stack", told.items.map((item) => h("figure", { style: { margin: 0 } },
    h("figcaption.soft.small", item.name.replaceAll("_", " ")), draw(item, told.arrays[item.name], options))));
}

/** A picture from an array "H W C" of uint8, each pixel `scale` wide. */
export function picture({ shape, data }, { scale = 0, label = "picture" } = {}) {
  const [height, width, channels] = [shape[0], shape[1], shape[2] || 1];
  const canvas = h("canvas.pixel", { width, height, role: "img", "aria-label": label });
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = data[i * channels + (channels >= 3 ? c : 0)];
    pixels.data[4 * i + 3] = channels === 4 ? data[4 * i + 3] : 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  canvas.style.width = `${width * (scale || Math.max(1, Math.floor(280 / Math.max(width, height))))}px`;
  return canvas;
}

function text(value) { return h("p", { style: { whiteSpace: "pre-wrap" } }, typeof value === "string" ? value : JSON.stringify(value)); }
function number(value) { return h("p.big.num", digits(value.value), " ", h("span.soft.small", value.unit || "")); }
function row(value) { return h("table", h("tbody", Object.entries(value).map(([k, v]) => h("tr", h("th", { scope: "row" }, k), h("td", String(v)))))); }

/** Bars, best first; with the `labels` of few classes always in their order, so that none jumps while the input grows. */
function ranking(value, { most = 10, labels = [] } = {}) {
  const best = value[0]?.label, steady = most >= labels.length && labels.length <= 12 && value.length === labels.length && value.every((one) => labels.includes(one.label));
  const shown = steady ? labels.map((label) => value.find((one) => one.label === label)) : value.slice(0, most);
  const node = h("div.stack", { style: { gap: "4px" } }, steady || value.length > 2 ? h("p.big.best", best) : null, shown.map(({ label, chance }) =>
    h(label === best ? "div.bar.best" : "div.bar", h("b", label), h("span", h("i", { style: { width: `${100 * (chance || 0)}%` } })), h("span.num.small", chance == null ? "–" : `${(100 * chance).toFixed(1)} %`))),
  value.length > shown.length ? h("p.soft.small", `and ${value.length - shown.length} more`) : null);
  node.style.setProperty("--label", `${Math.min(24, Math.max(3, ...shown.map((one) => one.label.length + 1)))}ch`); // bars begin in one line
  return node;
}

function curve(value, { height = 240 } = {}) {
  const node = h("div");
  const made = chart(node, { ...value, height });
  made.set(Object.entries(value.lines).map(([label, y]) => ({ label, x: value.x, y })));
  return node;
}

function listing(value) {
  return h("div.scroll", h("table", h("thead", h("tr", value.columns.map((c) => h("th", { scope: "col" }, c)))),
    h("tbody", value.cells.map((cells) => h("tr", cells.map((c) => h("td", typeof c === "number" ? digits(c) : c ?? "–")))))));
}

/** Colours of a value from 0 to 1: light to the accent. Returns [r, g, b]. */
export function shade(share) {
  const [a, b] = [rgb(token("--sunk")), rgb(token("--s1"))];
  return a.map((v, i) => Math.round(v + (b[i] - v) * Math.max(0, Math.min(1, share))));
}
export function rgb(hex) { return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)); }

/** A matrix as colours: values row by row. */
export function matrix(values, { width = 320, label = "heat map" } = {}) {
  const [R, C] = [values.length, values[0]?.length || 0], flat = values.flat().filter((v) => v != null);
  const [low, high] = [Math.min(...flat), Math.max(...flat)], pixels = new ImageData(Math.max(1, C), Math.max(1, R));
  values.forEach((line, r) => line.forEach((v, c) => pixels.data.set([...shade(v == null ? 0 : (v - low) / (high - low || 1)), 255], 4 * (r * C + c))));
  const canvas = h("canvas.pixel", { width: C, height: R, role: "img", "aria-label": label });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  canvas.style.width = `${width}px`;
  return canvas;
}

/** A matrix with its labels. One whose rows and columns have the same names counts what was taken for what: there what
 *  is right is left pale, so that the mistakes stand out. */
function heat(value) {
  const { values, rows = [], columns = [], xlabel, ylabel } = value;
  if (/second/i.test(xlabel || "")) return later("timed", value);
  if (SPOKEN.test(xlabel || "") && SPOKEN.test(ylabel || "") && shares(value)) return later("attention", value);
  if (!rows.length || values.length > 24 || columns.length > 24) return matrix(values, { label: `${ylabel} by ${xlabel}` });
  const same = rows.join() === columns.join(), other = (r, c) => !same || r !== c;
  const high = Math.max(1e-12, ...values.flatMap((line, r) => line.filter((v, c) => v != null && other(r, c))));
  return h("div.scroll", h("table.heat", h("caption.soft.small", [ylabel && `${ylabel} down`, xlabel && `${xlabel} across`].filter(Boolean).join(", ")),
    h("thead", h("tr", h("td"), columns.map((c) => h("th", { scope: "col" }, c)))),
    h("tbody", values.map((line, r) => h("tr", h("th", { scope: "row" }, rows[r]), line.map((v, c) =>
      h("td.num", { style: { background: other(r, c) ? `rgb(${shade(Math.max(0, (v || 0) / high) * .5).join(" ")})` : "transparent" } }, same && r === c ? h("b", digits(v)) : digits(v))))))));
}
