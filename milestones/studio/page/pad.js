// A sheet to draw on: mouse, finger, pen or keyboard; what is sent are its grey levels, ink dark on white.
import { h } from "./dom.js";

const TALL = 196, SHARP = 2; // pixels that are sent; how much finer is drawn
const STEP = 6; // pixels of an arrow key

/** pad({wide, onChange(live)}) -> {node, picture() -> {shape, data} or null, clear(), focus()}.
 *  `onChange(true)` while a line grows, `onChange(false)` when it has ended. */
export function pad({ wide = false, onChange }) {
  const width = wide ? 3 * TALL : TALL, height = TALL;
  const canvas = h("canvas.pad", { width: width * SHARP, height: height * SHARP, tabIndex: 0, role: "application",
    "aria-label": "Drawing sheet. Arrow keys move the pen, space lowers or lifts it, Control Z takes a line back, Delete clears.",
    "aria-describedby": "pad-hint" });
  if (wide) canvas.classList.add("wide");
  const small = h("canvas", { width, height }), paper = small.getContext("2d", { willReadFrequently: true });
  const pen = canvas.getContext("2d");
  const size = h("input", { type: "range", min: 6, max: 30, value: 16, "aria-label": "Pen width" });
  const told = h("span.visually-hidden", { role: "status", "aria-live": "polite" });
  let lines = [], line = null, cursor = null, lowered = false;

  function ink(context, scale) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.strokeStyle = context.fillStyle = "#111";
    context.lineCap = context.lineJoin = "round";
    for (const { points, wide: thick } of lines) {
      context.lineWidth = thick;
      context.beginPath();
      context.moveTo(...points[0]);
      for (const point of points.length > 1 ? points.slice(1) : [[points[0][0] + .01, points[0][1]]]) context.lineTo(...point);
      context.stroke();
    }
  }

  function draw() {
    ink(pen, SHARP);
    if (cursor && document.activeElement === canvas) {
      pen.strokeStyle = lowered ? "#b3261e" : "#1f5fa8";
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.arc(...cursor, size.value / 2 + 2, 0, 7);
      pen.moveTo(cursor[0] - 4, cursor[1]); pen.lineTo(cursor[0] + 4, cursor[1]);
      pen.moveTo(cursor[0], cursor[1] - 4); pen.lineTo(cursor[0], cursor[1] + 4);
      pen.stroke();
    }
  }

  function changed(live) { draw(); onChange(live); }

  function begin(at) { line = { points: [at], wide: +size.value }; lines.push(line); }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    cursor = null; lowered = false;
    begin(at(event));
    changed(true);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!line || lowered) return;
    for (const part of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) line.points.push(at(part));
    changed(true);
  });
  const end = () => {
    if (!line || lowered) return;
    line = null;
    performance.mark("use:drawn");
    changed(false);
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (move) {
      cursor ||= [width / 2, height / 4];
      cursor = [Math.max(0, Math.min(width, cursor[0] + STEP * move[0])), Math.max(0, Math.min(height, cursor[1] + STEP * move[1]))];
      if (lowered) { line.points.push([...cursor]); changed(true); } else draw();
    } else if (event.key === " ") {
      cursor ||= [width / 2, height / 4];
      lowered = !lowered;
      if (lowered) { begin([...cursor]); changed(true); } else { line = null; changed(false); }
      told.textContent = lowered ? "The pen is down" : "The pen is up";
    } else if (event.key === "Delete" || event.key === "Backspace") clear();
    else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("focus", draw);
  canvas.addEventListener("blur", draw);

  function clear() { lines = []; line = null; lowered = false; changed(false); }
  function undo() { lines.pop(); line = null; lowered = false; changed(false); }

  draw();
  const node = h("div.pad-frame", canvas,
    h("div.row", h("button", { type: "button", onclick: clear }, "Clear"), h("button", { type: "button", onclick: undo }, "Undo"),
      h("label.pen.small", "Pen", size), told),
    h("p.soft.small", { id: "pad-hint" }, "Keyboard: arrow keys move the pen, space lowers and lifts it."));
  return {
    node, clear,
    focus() { canvas.focus({ preventScroll: true }); },
    /** The drawing as grey levels; null if nothing is drawn. */
    picture() {
      if (!lines.length) return null;
      ink(paper, 1);
      const pixels = paper.getImageData(0, 0, width, height).data, data = new Uint8Array(width * height);
      for (let i = 0; i < data.length; i++) data[i] = pixels[4 * i];
      return { shape: [height, width], data };
    },
  };
}
