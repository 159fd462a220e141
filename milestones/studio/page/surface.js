// A function of two variables seen from above, with the paths and marks on it.
import { h, digits, token, SERIES } from "./dom.js";

const MARKS = ["●", "✕", "▲", "■"];

/** An element for a plain Surface: {surface, window, paths, marks, xlabel, ylabel}. Redrawn when the theme or its width changes. */
export function surface(value, { height = 340 } = {}) {
  const { surface: rows, window: [x0, x1, y0, y1], paths = {}, marks = {} } = value;
  const flat = rows.flat().filter((v) => v != null), low = Math.min(...flat), high = Math.max(...flat);
  const names = Object.keys(paths), kinds = Object.keys(marks);
  const canvas = h("canvas", { role: "img", "aria-label": `${value.ylabel} over ${value.xlabel}: from ${digits(low)} to ${digits(high)}${names.length ? `; paths ${names.join(", ")}` : ""}` });
  canvas.style.width = "100%";
  canvas.style.height = `${height}px`;
  const legend = h("p.small.row", names.map((name, i) => h("span", h("i.swatch", { style: { background: `var(${SERIES[i % 8]})` } }), name)),
    kinds.map((name, i) => h("span", `${MARKS[i % 4]} ${name}`)), h("span.soft.num", `dark: ${digits(low)}, light: ${digits(high)}`));
  function draw() {
    const width = canvas.clientWidth || 400, sharp = devicePixelRatio || 1, [left, bottom, top] = [46, 34, 6];
    canvas.width = width * sharp;
    canvas.height = height * sharp;
    const pen = canvas.getContext("2d");
    pen.scale(sharp, sharp);
    const px = (x) => left + (x - x0) / (x1 - x0) * (width - left - 6), py = (y) => height - bottom - (y - y0) / (y1 - y0) * (height - bottom - top);
    const [R, C] = [rows.length, rows[0].length], cells = new ImageData(C, R), shift = Math.max(1e-12, (high - low) / 400);
    const level = (v) => Math.log((v - low) / shift + 1) / Math.log((high - low) / shift + 1 + 1e-9); // a valley's floor is told apart, too
    rows.forEach((line, r) => line.forEach((v, c) => {
      const share = v == null ? 1 : level(v), step = Math.round(share * 16) / 16; // bands, as height lines on a map
      cells.data.set([40 + 190 * step, 62 + 168 * step, 96 + 128 * step, v == null ? 0 : 255], 4 * ((R - 1 - r) * C + c));
    }));
    const small = h("canvas", { width: C, height: R });
    small.getContext("2d").putImageData(cells, 0, 0);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(small, px(x0), py(y1), px(x1) - px(x0), py(y0) - py(y1));
    pen.save();
    pen.beginPath();
    pen.rect(px(x0), py(y1), px(x1) - px(x0), py(y0) - py(y1));
    pen.clip();
    names.forEach((name, i) => {
      for (const [colour, thick] of [["#fff", 4], [token(SERIES[i % 8]), 2]]) {
        pen.strokeStyle = colour;
        pen.lineWidth = thick;
        pen.beginPath();
        paths[name].forEach(([x, y], k) => (x == null || y == null ? 0 : k ? pen.lineTo(px(x), py(y)) : pen.moveTo(px(x), py(y))));
        pen.stroke();
      }
    });
    pen.restore();
    pen.font = "15px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineWidth = 3;
    kinds.forEach((kind, i) => marks[kind].forEach(([x, y]) => {
      pen.strokeStyle = "#fff";
      pen.fillStyle = "#111";
      pen.strokeText(MARKS[i % 4], px(x), py(y));
      pen.fillText(MARKS[i % 4], px(x), py(y));
    }));
    pen.fillStyle = token("--soft");
    pen.font = "12px system-ui, sans-serif";
    for (const [v, align] of [[x0, "left"], [x1, "right"]]) { pen.textAlign = align; pen.fillText(digits(v), px(v), height - bottom + 12); }
    pen.textAlign = "right";
    for (const v of [y0, y1]) pen.fillText(digits(v), left - 4, Math.max(top + 6, py(v) - (v === y0 ? 6 : 0)));
    pen.textAlign = "center";
    pen.fillText(value.xlabel, (px(x0) + px(x1)) / 2, height - 8);
    pen.save();
    pen.translate(12, (py(y0) + py(y1)) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(value.ylabel, 0, 0);
    pen.restore();
  }
  const wide = new ResizeObserver(() => (canvas.isConnected ? draw() : wide.disconnect()));
  requestAnimationFrame(() => wide.observe(canvas));
  const dark = new MutationObserver(() => (canvas.isConnected ? draw() : dark.disconnect()));
  dark.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return h("div.surface", canvas, legend);
}
