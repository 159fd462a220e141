// What each step of a net puts out, a canvas a step; and the terms under one number.
import { h, fill, digits, token } from "./dom.js";
import { rgb } from "./media.js";

const NAMES = { input: "what the net sees", conv1d: "convolution", conv2d: "convolution", conv_transpose2d: "transposed convolution",
  linear: "fully connected", matmul: "weighted sum", mm: "weighted sum", rmatmul: "weighted sum", addmm: "weighted sum",
  avg_pool2d: "average pool", max_pool2d: "max pool", adaptive_avg_pool2d: "average pool", adaptive_max_pool2d: "max pool",
  batch_norm: "batch norm", layer_norm: "layer norm", group_norm: "group norm", add: "sum", radd: "sum", iadd: "sum",
  sigmoid: "logistic", relu: "ReLU", gelu: "GELU", multi_head_attention_forward: "attention",
  scaled_dot_product_attention: "attention", lstm: "LSTM", gru: "GRU", lstm_cell: "LSTM cell", gru_cell: "GRU cell" };
export const nameOf = (op) => NAMES[op] || op.replaceAll("_", " ");

/** 256 colours: negative, none, positive where `low` is below 0; else none to positive; grey for the input. */
function colours(low, grey) {
  const table = new Uint8Array(1024), none = rgb(token("--sunk"));
  const [minus, plus] = [rgb(token("--negative")), rgb(token("--positive"))];
  for (let i = 0; i < 256; i++) {
    const share = low < 0 ? Math.abs(i - 127.5) / 127.5 : i / 255, end = low < 0 && i < 128 ? minus : plus;
    for (let c = 0; c < 3; c++) table[4 * i + c] = grey ? i : Math.round(none[c] + (end[c] - none[c]) * share);
    table[4 * i + 3] = 255;
  }
  return table;
}

/** How the maps of a step lie in its canvas: {maps, width, height, columns, rows, gap, scale}. */
function layout(array, wide) {
  if (array.shape.length === 1) {
    const count = array.shape[0], scale = count <= 20 ? 22 : count <= 200 ? 13 : 7;
    const columns = Math.min(count, Math.max(1, Math.floor(Math.min(wide, 20 * 13) / scale)));
    return { maps: count, width: 1, height: 1, columns, rows: Math.ceil(count / columns), gap: 0, scale };
  }
  const [maps, height, width] = array.shape, side = Math.max(width, height);
  const target = maps === 1 ? 168 : maps <= 8 ? 84 : maps <= 16 ? 60 : maps <= 32 ? 46 : 34;
  const scale = Math.max(1, Math.min(12, Math.round(target / side))), gap = maps > 1 ? Math.max(1, Math.round(4 / scale)) : 0;
  const fits = Math.max(1, Math.floor((wide + gap * scale) / ((width + gap) * scale)));
  const columns = Math.min(maps, fits, Math.max(1, maps <= 3 ? maps : Math.ceil(Math.sqrt(maps))));
  return { maps, width, height, columns, rows: Math.ceil(maps / columns), gap, scale };
}

/** Draw an array of uint8 "C H W" or "D" into a canvas that fits its layout. */
function paint(canvas, array, at, table) {
  const { maps, width, height, columns, gap } = at, across = canvas.width;
  const context = canvas.getContext("2d"), pixels = context.createImageData(across, canvas.height);
  const colour = new Uint32Array(table.buffer), out = new Uint32Array(pixels.data.buffer), { data } = array;
  for (let m = 0, i = 0; m < maps; m++) {
    const left = (m % columns) * (width + gap), top = Math.floor(m / columns) * (height + gap);
    for (let y = 0; y < height; y++) for (let x = 0, to = (top + y) * across + left; x < width; x++) out[to++] = colour[data[i++]];
  }
  context.putImageData(pixels, 0, 0);
}

/** maps(node, choose) -> {set(told), mark(step, spot), recolour()}. `told` is an answer of the act "maps";
 *  choose(line, spot) is called with a step's line and an index of its output. */
export function maps(node, choose) {
  let shown = [], key = "";
  function make(told) {
    shown = told.steps.map((line) => {
      const array = told.arrays[`step ${line.step}`], at = layout(array, Math.min(264, node.clientWidth || 264));
      const title = nameOf(line.op), size = line.shape.join(" × ");
      const canvas = h("canvas.pixel", { width: at.columns * (at.width + at.gap) - at.gap, height: at.rows * (at.height + at.gap) - at.gap });
      canvas.style.width = `${canvas.width * at.scale}px`;
      const one = { line, array, at, canvas, unit: 0, range: h("span.soft.small.num"), frame: h("i.mark", { hidden: true }) };
      const spotOf = (unit, y = Math.floor(at.height / 2), x = Math.floor(at.width / 2)) => {
        if (line.shape.length === 1) return [unit];
        const place = [Math.min(y * line.stride, line.shape.at(-2) - 1), Math.min(x * line.stride, line.shape.at(-1) - 1)];
        return line.shape.length === 2 ? place : [unit, ...place];
      };
      if (line.step >= 0) {
        canvas.tabIndex = 0;
        canvas.setAttribute("role", "button");
        canvas.setAttribute("aria-label", `${title}, ${size}: ${at.maps > 1 ? "arrow keys choose a map, " : ""}Enter takes its number apart`);
        canvas.addEventListener("click", (event) => {
          const box = canvas.getBoundingClientRect();
          const px = Math.floor((event.clientX - box.left) / box.width * canvas.width), py = Math.floor((event.clientY - box.top) / box.height * canvas.height);
          const [wide, tall] = [at.width + at.gap, at.height + at.gap];
          one.unit = Math.min(at.maps - 1, Math.floor(py / tall) * at.columns + Math.min(at.columns - 1, Math.floor(px / wide)));
          choose(line, spotOf(one.unit, Math.min(at.height - 1, py % tall), Math.min(at.width - 1, px % wide)));
        });
        canvas.addEventListener("keydown", (event) => {
          const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -at.columns, ArrowDown: at.columns }[event.key];
          if (move) one.unit = Math.max(0, Math.min(at.maps - 1, one.unit + move));
          else if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          choose(line, spotOf(one.unit));
        });
      } else {
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `${title}, ${size}`);
      }
      return one;
    });
    const layers = new Map();
    for (const one of shown) {
      const name = `${one.line.member} ${one.line.layer}`;
      if (!layers.has(name)) layers.set(name, []);
      layers.get(name).push(one);
    }
    const many = shown.some((one) => one.line.member > 0);
    fill(node, [...layers.values()].map((group) => h("section.layer", { "aria-label": `Layer ${group[0].line.layer}` },
      group[0].line.layer > 0 && h("h3", `${many ? `Net ${group[0].line.member + 1}, layer` : "Layer"} ${group[0].line.layer}`,
        h("span.soft.small", ` ${group.find((one) => one.line.name)?.line.name || ""}`)),
      h("div.stages", group.map((one) => h("figure", h("figcaption", h("b", nameOf(one.line.op)), " ",
        h("span.soft.small", one.line.shape.join(" × "), one.at.maps < one.line.of ? `, the first ${one.at.maps}` : "")),
      h("div.atlas", one.canvas, one.frame), one.range))))),
    told.left ? h("p.soft", `${told.left} more steps are not shown.`) : null);
  }
  function redraw() {
    const tables = new Map();
    for (const { line, array, at, canvas, range } of shown) {
      const grey = line.step < 0 && line.low >= 0 && array.shape.length > 1, kind = `${line.low < 0} ${grey}`;
      if (!tables.has(kind)) tables.set(kind, colours(line.low, grey));
      paint(canvas, array, at, tables.get(kind));
      range.textContent = `${plain(+line.low.toPrecision(3))} to ${plain(+line.high.toPrecision(3))}`;
    }
  }
  return {
    set(told) {
      const now = JSON.stringify(told.steps.map((line) => [line.op, line.name, line.shape])) + told.left;
      if (now !== key) { key = now; make(told); }
      told.steps.forEach((line, i) => { shown[i].line = line; shown[i].array = told.arrays[`step ${line.step}`]; });
      redraw();
    },
    /** The line and array of a step. */
    step(number) { return shown.find((one) => one.line.step === number); },
    /** Frame the map that is taken apart. */
    mark(number, spot) {
      for (const one of shown) {
        const here = one.line.step === number;
        one.frame.hidden = !here;
        if (!here) continue;
        const { at } = one, unit = one.line.shape.length === 2 ? 0 : Math.min(spot[0], at.maps - 1);
        const [wide, tall] = [one.canvas.width, one.canvas.height].map((n) => 100 / n);
        Object.assign(one.frame.style, { left: `${(unit % at.columns) * (at.width + at.gap) * wide}%`, width: `${at.width * wide}%`,
          top: `${Math.floor(unit / at.columns) * (at.height + at.gap) * tall}%`, height: `${at.height * tall}%` });
      }
    },
    recolour: redraw,
  };
}

/** One map, large, with a frame around a pixel that arrow keys move: enlarged(one, spot, wished, move) -> element.
 *  `wished()` is the last place that was asked for, which may not be shown yet. */
export function enlarged(one, spot, wished, move) {
  const { line, array } = one, [height, width] = array.shape.slice(-2), unit = line.shape.length === 3 ? spot[0] : 0;
  const canvas = h("canvas.pixel", { width, height, tabIndex: 0, role: "application",
    "aria-label": `Map ${unit + 1}, row ${spot.at(-2) + 1}, column ${spot.at(-1) + 1}. Arrow keys move to another number.` });
  const size = width * height, scale = Math.max(1, Math.floor(196 / Math.max(width, height)));
  paint(canvas, { shape: [1, height, width], data: array.data.subarray(unit * size, (unit + 1) * size) },
    { maps: 1, width, height, columns: 1, gap: 0 }, colours(line.low, false));
  canvas.style.width = `${width * scale}px`;
  const frame = h("i.mark.spot"), [y, x] = [spot.at(-2), spot.at(-1)].map((n) => Math.floor(n / line.stride));
  Object.assign(frame.style, { left: `${100 * x / width}%`, top: `${100 * y / height}%`, width: `${100 / width}%`, height: `${100 / height}%` });
  const to = (row, column) => move([...(line.shape.length === 3 ? [unit] : []), Math.max(0, Math.min(line.shape.at(-2) - 1, row)), Math.max(0, Math.min(line.shape.at(-1) - 1, column))]);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    to(wished().at(-2) + step[0], wished().at(-1) + step[1]);
  });
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    to(Math.floor((event.clientY - box.top) / box.height * height) * line.stride, Math.floor((event.clientX - box.left) / box.width * width) * line.stride);
  });
  return h("div.atlas", canvas, frame);
}

const short = (x) => (Math.abs(x) >= 100 ? String(Math.round(x)) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(2)).replace(/^-(?=0\.00$)/, "").replace("-", "−");
const signed = (x, places = 4) => `${x < 0 ? "− " : "+ "}${digits(Math.abs(+x.toPrecision(places)), places)}`;
const plain = (x) => digits(+x.toPrecision(4)).replace("-", "−");

/** Numbers as coloured cells; `data` a matrix of `columns`. */
function grid(data, columns, caption) {
  const most = Math.max(1e-12, ...data.map(Math.abs)), [minus, plus, none] = ["--negative", "--positive", "--card"].map((name) => rgb(token(name)));
  const numbers = columns <= 7;
  return h("figure", h("figcaption.soft.small", caption), h(numbers ? "div.numbers" : "div.numbers.bare", { style: { gridTemplateColumns: `repeat(${columns}, ${numbers ? "2.45rem" : "8px"})` } },
    [...data].map((v) => {
      const share = Math.abs(v) / most * .45, end = v < 0 ? minus : plus;
      return h("span", { title: plain(v), style: { background: `rgb(${none.map((c, i) => Math.round(c + (end[i] - c) * (numbers ? share : share / .45))).join(" ")})` } }, numbers ? short(v) : "");
    })));
}

/** The terms under one number, from an answer of the act "pixel". `label(unit)` names a unit of the last layer. */
export function terms(told, label) {
  const parts = [], out = (...nodes) => parts.push(...nodes), { kind } = told;
  const slices = (name) => {
    const { shape: [count, rows, columns], data } = told.arrays[name];
    return { count, columns, of: (i) => Array.from(data.subarray(i * rows * columns, (i + 1) * rows * columns)) };
  };
  if (kind === "products" && told.arrays.patch) {
    const [patch, weights, products] = ["patch", "kernel", "product"].map(slices);
    out(sum(told, told.terms.length > 1 || told.rest.count ? "Sums" : "Sum"));
    told.terms.forEach((term, i) => out(h("div.product", h("p.small", h("b", `Input map ${term.of + 1}`)),
      h("div.factors", grid(patch.of(i), patch.columns, "input"), h("span.sign", "×"), grid(weights.of(i), weights.columns, "weights"),
        h("span.sign", "="), grid(products.of(i), products.columns, "products"), h("span.sign", "→"), h("b.num", plain(term.sum))))));
  } else if (kind === "products") {
    const place = (k) => {
      if (!told.from) return `input ${k + 1}`;
      const [, rows, columns] = told.from;
      return `map ${Math.floor(k / rows / columns) + 1}, row ${Math.floor(k / columns) % rows + 1}, column ${k % columns + 1}`;
    };
    out(sum(told, ""), table(["from", "input", "weight", "product"], [...told.terms.map((t) => [place(t.of), t.input, t.weight, t.sum]),
      ...(told.rest.count ? [[`${told.rest.count} more`, "", "", told.rest.sum]] : [])]));
  } else if (kind === "pool") {
    const patch = slices("patch");
    out(grid(patch.of(0), patch.columns, "input"), h("p.formula.num", told.how === "mean" ? `the mean of these ${told.count} numbers` : "the largest of these numbers", " = ", h("b", plain(told.total))));
  } else if (kind === "unit") {
    out(h("p.formula.num", `${nameOf(told.op)}(${plain(told.input)}) = `, h("b", plain(told.total))));
  } else if (kind === "norm") {
    out(h("p.formula.num", `(${plain(told.input)} − mean ${plain(told.mean)}) / spread ${plain(told.spread)} × gain ${plain(told.gain)} ${signed(told.shift)} = `, h("b", plain(told.total))));
  } else if (kind === "sum") {
    out(h("p.formula.num", `${plain(told.terms[0].sum)} ${signed(told.terms[1].sum)} = `, h("b", plain(told.total))));
  } else if (kind === "softmax") {
    out(table(["class", "score", `e^(score − ${plain(told.greatest)})`], [...told.terms.map((t) => [label(t.of), t.input, t.sum]),
      ...(told.rest.count ? [[`${told.rest.count} more`, "", told.rest.sum]] : [])]),
    h("p.formula.num", `e^(${plain(told.input)} − ${plain(told.greatest)}) / ${plain(told.over)} = `, h("b", plain(told.total))));
  } else out(h("p.formula.num", "The value here: ", h("b", plain(told.value)), h("span.soft.small", "; the terms of this kind of step are not shown")));
  if (told.then.length) parts.splice(1, 0, h("p.formula.num", "Then: ", told.then.map(({ op, value }, i) => [i ? ", " : "", `${op === "add" ? "bias" : nameOf(op)} gives `, h("b", plain(value))])));
  return h("div.stack", parts);
}

function sum(told, title) {
  const pieces = told.arrays.patch ? told.terms.map((term) => term.sum) : [told.terms.reduce((a, t) => a + t.sum, 0)];
  const text = [told.rest.count && !told.arrays.patch ? `${plain(pieces[0])} (the ${told.terms.length} below)` : plain(pieces[0]), ...pieces.slice(1).map((v) => signed(v)),
    ...(told.rest.count ? [`${signed(told.rest.sum)} (${told.rest.count} ${told.arrays.patch ? "other maps" : "more"})`] : []),
    ...(told.bias ? [`${signed(told.bias)} (bias)`] : [])].join(" ");
  return h("p.formula.num", title && `${title}: `, text, " = ", h("b", { "data-total": told.total }, plain(told.total)));
}

function table(head, rows) {
  return h("div.scroll", h("table.small.terms", h("thead", h("tr", head.map((c) => h("th", { scope: "col" }, c)))),
    h("tbody", rows.map((cells) => h("tr", cells.map((c) => h("td.num", typeof c === "number" ? plain(c) : c)))))));
}

/** The weights of a filter: a small picture for each of its input maps. */
export function filters(told) {
  if (!told.arrays.weights) return null;
  const { shape: [count, height, width], data } = told.arrays.weights, most = Math.max(1e-12, ...data.map(Math.abs));
  const at = layout({ shape: [count, height, width] }, 300);
  const canvas = h("canvas.pixel", { width: at.columns * (width + at.gap) - at.gap, height: at.rows * (height + at.gap) - at.gap,
    role: "img", "aria-label": `${count} filters of ${height} × ${width} weights` });
  const levels = Uint8Array.from(data, (v) => Math.round(127.5 + 127.5 * v / most));
  paint(canvas, { shape: [count, height, width], data: levels }, at, colours(-1, false));
  canvas.style.width = `${canvas.width * Math.min(at.scale, 12)}px`;
  return h("figure", h("figcaption.soft.small", `its weights${count > 1 ? ", for each input map" : ""}`), canvas);
}

