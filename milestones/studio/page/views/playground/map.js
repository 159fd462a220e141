// Maps in colour: of a unit, of the net's output with its points, of the loss.
import { h, token } from "../../dom.js";
import { rgb, shade } from "../../media.js";

export const CLASSES = ["--negative", "--positive", "--s3", "--s4"];
const SIDE = 100, WINDOW = 6;

let table = null, theme = "";
/** 256 colours from negative over the card to positive, as [r, g, b]. */
export function colours() {
  const now = document.documentElement.dataset.theme;
  if (table && theme === now) return table;
  theme = now;
  const [low, middle, high] = ["--negative", "--card", "--positive"].map((name) => rgb(token(name).length === 4 ? "#ffffff" : token(name)));
  table = Array.from({ length: 256 }, (_, i) => mixed(middle, i < 128 ? low : high, Math.abs(i - 127.5) / 127.5));
  return table;
}
const mixed = (a, b, share) => a.map((v, i) => Math.round(v + (b[i] - v) * share));

/** Colour a canvas of side x side by bytes, 128 being nothing. */
export function paint(canvas, bytes, side) {
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const pixels = new ImageData(side, side), known = colours();
  for (let i = 0; i < side * side; i++) {
    const [r, g, b] = known[bytes[i]];
    pixels.data[4 * i] = r; pixels.data[4 * i + 1] = g; pixels.data[4 * i + 2] = b; pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** The output over the plane with the points on it: {node, output(array), points(list), mode(...)}.
 *  Clicks, drags and keys on it, while it can be drawn on, call add(x, y) and erase(x, y). */
export function plane({ add, erase }) {
  const under = h("canvas.under"), over = h("canvas.over", { role: "img", tabIndex: 0, "aria-label": "The net's answer in the plane, and the points" });
  const node = h("div.plane", under, over);
  let shown = { points: [], test: false, discrete: false, classes: 2, drawing: "" }, last = null, cross = [0, 0], held = null;

  function output(array) {
    last = array;
    if (under.width !== SIDE) under.width = under.height = SIDE;
    const { shape: [K], data } = array, count = SIDE * SIDE, pixels = new ImageData(SIDE, SIDE), known = colours();
    const card = rgb(token("--card").length === 4 ? "#ffffff" : token("--card")), own = CLASSES.map((name) => rgb(token(name)));
    for (let i = 0; i < count; i++) {
      let colour;
      if (K === 1) {
        const v = shown.discrete ? (data[i] < 128 ? 0 : 255) : data[i];
        colour = mixed(card, known[v], 0.7);
      } else {
        let best = 0, total = 0, mix = [0, 0, 0];
        for (let k = 0; k < K; k++) { if (data[k * count + i] > data[best * count + i]) best = k; total += data[k * count + i]; }
        if (shown.discrete) mix = own[best];
        else for (let k = 0; k < K; k++) for (let c = 0; c < 3; c++) mix[c] += own[k][c] * data[k * count + i] / (total || 1);
        colour = mixed(card, mix, shown.discrete ? 0.6 : 0.7 * data[best * count + i] / (total || 1));
      }
      pixels.data.set(colour, 4 * i);
      pixels.data[4 * i + 3] = 255;
    }
    under.getContext("2d").putImageData(pixels, 0, 0);
  }

  function draw() {
    const size = Math.round((over.clientWidth || 320) * (window.devicePixelRatio || 1)), unit = size / (2 * WINDOW);
    over.width = over.height = size;
    const c = over.getContext("2d"), r = Math.max(2.5, size / 110), paper = token("--card"), known = colours();
    const place = (x, y) => [(x + WINDOW) * unit, (WINDOW - y) * unit];
    for (const [x, y, target, test] of shown.points) {
      if (test && !shown.test) continue;
      const colour = shown.classes ? token(CLASSES[target]) : `rgb(${known[Math.round(127.5 + 127.5 * Math.max(-1, Math.min(1, target)))].join(" ")})`;
      mark(c, shown.classes ? target : 0, ...place(x, y), r);
      c.lineWidth = test && shown.classes ? r * 0.7 : r * 0.4;
      c.fillStyle = test ? paper : colour;
      c.strokeStyle = !shown.classes ? token("--ink") : test ? colour : paper;
      c.fill();
      c.stroke();
      if (test && !shown.classes) { mark(c, 0, ...place(x, y), r * 0.5); c.fillStyle = colour; c.fill(); }
    }
    if (shown.drawing && document.activeElement === over) {
      const [x, y] = place(...cross);
      c.strokeStyle = token("--ink"); c.lineWidth = 1.5;
      c.beginPath(); c.moveTo(x - 12, y); c.lineTo(x + 12, y); c.moveTo(x, y - 12); c.lineTo(x, y + 12); c.stroke();
    }
  }

  const where = (event) => {
    const box = over.getBoundingClientRect();
    return [WINDOW * (2 * (event.clientX - box.left) / box.width - 1), WINDOW * (1 - 2 * (event.clientY - box.top) / box.height)];
  };
  const act = (x, y) => (shown.drawing === "erase" ? erase(x, y) : add(x, y));
  over.addEventListener("pointerdown", (event) => {
    if (!shown.drawing) return;
    over.setPointerCapture(event.pointerId);
    held = where(event);
    cross = held;
    act(...held);
  });
  over.addEventListener("pointermove", (event) => {
    if (!held) return;
    const at = where(event);
    if (Math.hypot(at[0] - held[0], at[1] - held[1]) < 0.45) return;
    held = at;
    act(...at);
  });
  for (const end of ["pointerup", "pointercancel"]) over.addEventListener(end, () => { held = null; });
  over.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!shown.drawing || !(move || ["Enter", " ", "Delete", "Backspace"].includes(event.key))) return;
    event.preventDefault();
    if (move) cross = cross.map((v, i) => Math.max(-WINDOW, Math.min(WINDOW, v + move[i] * (event.shiftKey ? 1 : 0.25))));
    else if (event.key === "Enter" || event.key === " ") act(...cross);
    else erase(...cross);
    draw();
  });
  for (const name of ["focus", "blur"]) over.addEventListener(name, draw);
  const watch = new ResizeObserver(draw);
  watch.observe(node);
  return {
    node, output,
    show(more) { shown = { ...shown, ...more }; over.style.touchAction = shown.drawing ? "none" : ""; node.classList.toggle("drawing", !!shown.drawing); draw(); if (last && "discrete" in more) output(last); },
    again() { draw(); if (last) output(last); },
    close() { watch.disconnect(); },
  };
}

/** A class has a shape as well as a colour: circle, square, triangle, diamond. */
function mark(c, k, x, y, r) {
  c.beginPath();
  if (k === 1) c.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
  else if (k === 2) { c.moveTo(x, y - r * 1.2); c.lineTo(x + r * 1.15, y + r * 0.9); c.lineTo(x - r * 1.15, y + r * 0.9); c.closePath(); }
  else if (k === 3) { c.moveTo(x, y - r * 1.35); c.lineTo(x + r * 1.35, y); c.lineTo(x, y + r * 1.35); c.lineTo(x - r * 1.35, y); c.closePath(); }
  else c.arc(x, y, r, 0, 7);
}

/** A small picture of a data set: rows [x, y, target] one after the other. */
export function thumbnail(canvas, rows, classes) {
  const size = 44 * (window.devicePixelRatio || 1), c = canvas.getContext("2d"), known = colours();
  canvas.width = canvas.height = size;
  for (let i = 0; i < rows.length; i += 3) {
    c.fillStyle = classes ? token(CLASSES[rows[i + 2]]) : `rgb(${known[Math.round(127.5 + 127.5 * Math.max(-1, Math.min(1, rows[i + 2])))].join(" ")})`;
    mark(c, classes ? rows[i + 2] : 0, (rows[i] / WINDOW / 2 + 0.5) * size, (0.5 - rows[i + 1] / WINDOW / 2) * size, size / 28);
    c.fill();
  }
}

/** The loss over the path's plane: bands of equal height, the path, where it began and where it is. */
export function ground(canvas, told) {
  const { shape: [R, C], data } = told.arrays.heights, size = Math.round((canvas.clientWidth || 320) * (window.devicePixelRatio || 1)), s = told.stride;
  canvas.width = canvas.height = size;
  const known = [...data].filter((v) => Number.isFinite(v)), low = Math.log(Math.max(1e-9, Math.min(...known))), high = Math.log(Math.max(1e-9, Math.max(...known)));
  const c = canvas.getContext("2d"), pixels = new ImageData(size, size), half = (R - 1) / 2;
  const near = (k) => Math.max(0, Math.min(R - 1, half + s * Math.round((k - half) / s)));
  const value = (r, q) => { const v = data[r * C + q]; return Number.isFinite(v) ? v : data[near(r) * C + near(q)]; };
  const levels = Array.from({ length: 15 }, (_, i) => shade(0.9 - 0.06 * i));
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) {
    const y = (R - 1) * (1 - i / (size - 1)), x = (C - 1) * j / (size - 1), a = Math.min(R - 2, Math.floor(y)), b = Math.min(C - 2, Math.floor(x)), u = y - a, v = x - b;
    const here = (1 - u) * ((1 - v) * value(a, b) + v * value(a, b + 1)) + u * ((1 - v) * value(a + 1, b) + v * value(a + 1, b + 1));
    const share = Number.isFinite(here) ? (Math.log(Math.max(1e-9, here)) - low) / (high - low || 1) : 1;
    pixels.data.set(levels[Math.max(0, Math.min(14, Math.floor(15 * share)))], 4 * (i * size + j));
    pixels.data[4 * (i * size + j) + 3] = 255;
  }
  c.putImageData(pixels, 0, 0);
  const place = ([x, y]) => [size * (x - told.x[0]) / (told.x[1] - told.x[0]), size * (told.y[1] - y) / (told.y[1] - told.y[0])];
  for (const [colour, width] of [[token("--card"), size / 60], [token("--ink"), size / 130]]) {
    c.strokeStyle = colour; c.lineWidth = width; c.lineJoin = "round";
    c.beginPath();
    told.path.forEach((at, i) => c[i ? "lineTo" : "moveTo"](...place(at)));
    c.stroke();
  }
  for (const [at, k, colour] of [[told.path[0], 1, token("--card")], [told.path.at(-1), 0, token("--negative")]]) {
    mark(c, k, ...place(at), size / 55);
    c.fillStyle = colour; c.strokeStyle = token("--ink"); c.lineWidth = size / 200;
    c.fill(); c.stroke();
  }
}
