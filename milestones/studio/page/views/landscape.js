// Landscape: the loss around a run's solution, turned in space and as a map; the line to it; the way that training took.
import { h, fill, field, choice, digits, span, styles, token } from "../dom.js";
import { desk } from "../api.js";
import { chart } from "../chart.js";
import { rgb } from "../media.js";
import { runChoice, runsFor, sorry } from "../subject.js";

export const title = "Landscape";

const SIZES = [[25, "25 × 25, quick"], [49, "49 × 49"], [97, "97 × 97, slow"]];

export async function open(root, words, params, shell) {
  await styles("look");
  const { fit, run } = await runsFor(words[0]);
  const start = words[0] ? run : fit.find((r) => r === "shipped:lenet") || run;
  if (!start) {
    fill(root, h("h1", title), h("p.lead", "No run here has a landscape yet. Train one."));
    return;
  }
  let closed = false, stream = null, streamLine = null, known = null, plot = null;
  const view = { turn: .7, tilt: .62, zoom: 1 };
  const runs = runChoice(fit, start, (value) => shell.go(`#/landscape/${encodeURIComponent(value)}`));
  const size = choice(SIZES, params.get("size") || "49", plane);
  const reach = choice([[".25", "near: a quarter"], ["0.5", "half"], ["1", "as far as the weights are long"], ["2", "twice that"]], params.get("span") || "1", plane);
  const examples = choice([["100", "100"], ["500", "500"], ["2000", "2,000"]], params.get("examples") || "500", () => { plane(); line(); });
  const log = h("input", { type: "checkbox", checked: params.get("log") !== "0", onchange: redraw });
  const lines = h("input", { type: "checkbox", checked: true, onchange: redraw });
  const stop = h("button", { type: "button", onclick: () => stream ? desk.cancel(stream.id) : plane() }, "Stop");
  const way = h("button", { type: "button", onclick: path }, "The way of training");
  const wrong = h("div.look-wrong"), said = h("p.small.soft.num", { role: "status" }), bar = h("progress", { max: 1, value: 0, "aria-label": "Share of the points" });
  const space = h("canvas.land-3d", { tabIndex: 0, role: "img", "aria-label": "The loss in space" });
  const map = h("canvas", { tabIndex: 0, role: "img", "aria-label": "The loss as a map" });
  const spot = h("p.small.num", { role: "status" }, " "), frame = h("div"), lineSaid = h("p.small.soft", { role: "status" });
  const button = (text, label, change) => h("button.icon", { type: "button", "aria-label": label, onclick: () => { change(); draw3(); } }, text);
  const turns = h("div.row", { style: { marginTop: "8px" } }, button("⟲", "Turn left", () => { view.turn -= .2; }), button("⟳", "Turn right", () => { view.turn += .2; }),
    button("↥", "Look from above", () => { view.tilt = Math.min(1.5, view.tilt + .15); }), button("↧", "Look from the side", () => { view.tilt = Math.max(.1, view.tilt - .15); }),
    button("+", "Nearer", () => { view.zoom *= 1.2; }), button("−", "Farther", () => { view.zoom /= 1.2; }), button("Reset", "Reset the view", () => Object.assign(view, { turn: .7, tilt: .62, zoom: 1 })));

  fill(root, h("h1", title), h("p.lead", "The loss of a net as a landscape over its weights: a plane through the solution, along two random directions scaled filter by filter."),
    h("div.split", h("form.card", { onsubmit: (event) => event.preventDefault() }, field("Run", runs), field("Points", size), field("Reach to each side", reach),
      field("Training examples", examples, "The loss is their mean; fewer where one point would take long."),
      h("label.row", { style: { marginBottom: "8px" } }, log, "Logarithmic height"), h("label.row", { style: { marginBottom: "12px" } }, lines, "Contour lines"),
      h("div.row", stop, way)),
    h("div.stack", wrong, h("section.card", said, bar, h("div.land", h("div", space, turns, h("p.small.soft", "Drag, or use the arrow keys and + and −.")), h("div", map, spot))),
      h("section.card", h("h2", "On the straight line from the first weights to the last"), lineSaid, frame))));

  /* What is known, as a whole surface: of a point that is not known yet, what the coarser points around it say. */
  function surface(a) {
    const [R, C] = a.arrays.values.shape, v = a.arrays.values.data, out = new Float32Array(v);
    for (let stride = 1; stride < R && out.some(Number.isNaN); stride *= 2) {
      const s = 2 * stride, from = ((R - 1) / 2) % s, was = out.slice();
      const at = (r, c) => was[Math.max(0, Math.min(R - 1, r)) * C + Math.max(0, Math.min(C - 1, c))];
      for (let r = 0; r < R; r++) for (let c = 0; c < C; c++) {
        if (!Number.isNaN(out[r * C + c])) continue;
        const r0 = Math.floor((r - from) / s) * s + from, c0 = Math.floor((c - from) / s) * s + from, y = (r - r0) / s, x = (c - c0) / s;
        const [a0, b0, a1, b1] = [at(r0, c0), at(r0, c0 + s), at(r0 + s, c0), at(r0 + s, c0 + s)];
        out[r * C + c] = (1 - y) * ((1 - x) * a0 + x * b0) + y * ((1 - x) * a1 + x * b1);
      }
    }
    return out;
  }

  function prepare() {
    const [R, C] = known.arrays.values.shape, raw = surface(known), finite = raw.filter(Number.isFinite);
    let low = Infinity, top = -Infinity, best = -1;
    const given = known.arrays.values.data;
    for (let i = 0; i < given.length; i++) if (Number.isFinite(given[i]) && given[i] < low) { low = given[i]; best = i; }
    for (const x of finite) top = Math.max(top, x);
    const floor = Math.max(1e-6, low > 0 ? low : 1e-6), scale = log.checked ? (x) => Math.log10(Math.max(floor, x)) : (x) => x;
    const [a, b] = [scale(low), scale(top)];
    return { R, C, raw, low, top, best, share: (x) => Number.isFinite(x) ? Math.max(0, Math.min(1, (scale(x) - a) / (b - a || 1))) : Number.isNaN(x) ? NaN : 1,
      back: (s) => log.checked ? 10 ** (a + s * (b - a)) : a + s * (b - a) };
  }

  const tones = () => ["--s1", "--s7", "--s6", "--s2"].map((name) => rgb(token(name)));
  function tone(s, stops) {
    const at = Math.max(0, Math.min(.9999, s)) * (stops.length - 1), k = Math.floor(at);
    return stops[k].map((v, i) => v + (stops[k + 1][i] - v) * (at - k));
  }
  function sized(canvas, ratio) {
    const wide = Math.max(240, canvas.clientWidth || 400), dots = Math.min(2, devicePixelRatio || 1);
    if (canvas.width !== Math.round(wide * dots)) Object.assign(canvas, { width: Math.round(wide * dots), height: Math.round(wide * ratio * dots) });
    const g = canvas.getContext("2d");
    g.setTransform(dots, 0, 0, dots, 0, 0);
    g.clearRect(0, 0, wide, wide * ratio);
    return [g, wide, wide * ratio];
  }
  /* Paths of training in the plane, as column and row. */
  function trails(s) {
    const [x0, x1, y0, y1] = known.window;
    return Object.values(known.paths || {}).map((spots) => spots.map(([x, y]) => [(x - x0) / (x1 - x0) * (s.C - 1), (y - y0) / (y1 - y0) * (s.R - 1)]));
  }

  function draw3() {
    if (!known || closed) return;
    const s = prepare(), [g, W, H] = sized(space, .72), stops = tones(), [ct, st, cp, sp] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tilt), Math.sin(view.tilt)];
    const unit = .62 * Math.min(W, H * 1.3) * view.zoom;
    const point = (r, c, z) => {
      const x = c / (s.C - 1) - .5, y = r / (s.R - 1) - .5, u = x * ct - y * st, v = x * st + y * ct, w = (z - .48) * .55, near = 1 / (1.9 + (v * cp - w * sp) * .7);
      return [W / 2 + unit * 1.9 * u * near, H / 2 - unit * 1.9 * (w * cp + v * sp) * near, v * cp - w * sp];
    };
    const step = s.R > 49 ? 2 : 1, quads = [];
    for (let r = 0; r + step < s.R; r += step) for (let c = 0; c + step < s.C; c += step) {
      const corners = [[r, c], [r, c + step], [r + step, c + step], [r + step, c]], z = corners.map(([i, j]) => s.share(s.raw[i * s.C + j]));
      if (z.some(Number.isNaN)) continue;
      const p = corners.map(([i, j], k) => point(i, j, z[k])), slope = Math.max(-1, Math.min(1, (z[1] - z[0] + z[2] - z[3]) * ct * 4 + (z[3] - z[0] + z[2] - z[1]) * st * 4));
      quads.push([p[0][2] + p[2][2], p, (z[0] + z[1] + z[2] + z[3]) / 4, slope]);
    }
    quads.sort((a, b) => b[0] - a[0]);
    g.lineWidth = .6;
    for (const [, p, z, slope] of quads) {
      const color = tone(z, stops).map((v) => Math.round(Math.max(0, Math.min(255, v * (1 + .22 * slope)))));
      g.fillStyle = g.strokeStyle = `rgb(${color})`;
      g.beginPath();
      p.forEach(([x, y], k) => k ? g.lineTo(x, y) : g.moveTo(x, y));
      g.closePath();
      g.fill();
      if (lines.checked && s.R <= 49) g.strokeStyle = `rgb(${color.map((v) => Math.round(v * .8))})`;
      g.stroke();
    }
    const height = (r, c) => s.share(s.raw[Math.round(Math.max(0, Math.min(s.R - 1, r))) * s.C + Math.round(Math.max(0, Math.min(s.C - 1, c)))]) + .015;
    for (const trail of trails(s)) stroke(g, trail.map(([c, r]) => point(r, c, height(r, c))));
    if (s.best >= 0) mark(g, ...point(Math.floor(s.best / s.C), s.best % s.C, height(Math.floor(s.best / s.C), s.best % s.C)));
    space.setAttribute("aria-label", `The loss in space, from ${digits(s.low, 3)} to ${digits(s.top, 3)}`);
  }
  function stroke(g, p) {
    for (const [color, width] of [[token("--card"), 4], [token("--ink"), 2]]) {
      g.strokeStyle = color; g.lineWidth = width; g.beginPath();
      p.forEach(([x, y], k) => k ? g.lineTo(x, y) : g.moveTo(x, y));
      g.stroke();
    }
  }
  function mark(g, x, y) {
    g.beginPath(); g.arc(x, y, 5, 0, 7);
    g.fillStyle = token("--card"); g.fill();
    g.strokeStyle = token("--ink"); g.lineWidth = 2; g.stroke();
  }

  let cursor = null;
  function draw2() {
    if (!known || closed) return;
    const s = prepare(), [g, W] = sized(map, 1), stops = tones(), cell = W / s.C, at = (c) => (c + .5) * cell;
    for (let r = 0; r < s.R; r++) for (let c = 0; c < s.C; c++) {
      const z = s.share(s.raw[r * s.C + c]);
      if (Number.isNaN(z)) continue;
      g.fillStyle = `rgb(${tone(z, stops).map(Math.round)})`;
      g.fillRect(c * cell, (s.R - 1 - r) * cell, cell + .6, cell + .6);
    }
    if (lines.checked) contours(g, s, (c, r) => [at(c), W - at(r)]);
    for (const trail of trails(s)) stroke(g, trail.map(([c, r]) => [at(c), W - at(r)]));
    if (s.best >= 0) mark(g, at(s.best % s.C), W - at(Math.floor(s.best / s.C)));
    if (cursor) {
      g.strokeStyle = token("--ink"); g.lineWidth = 1.5;
      g.strokeRect(cursor[1] * cell, (s.R - 1 - cursor[0]) * cell, cell, cell);
    }
    const [x0, x1, y0, y1] = known.window, x = (i) => digits(x0 + (x1 - x0) * (i % s.C) / (s.C - 1), 3), y = (i) => digits(y0 + (y1 - y0) * Math.floor(i / s.C) / (s.R - 1), 3);
    const i = cursor ? cursor[0] * s.C + cursor[1] : s.best;
    fill(spot, `${cursor ? "Here" : "Lowest (ring)"}: ${digits(s.raw[i], 4)} at ${x(i)}, ${y(i)}. Highest: ${digits(s.top, 4)}.`);
    map.setAttribute("aria-label", `Map of the loss: lowest ${digits(s.low, 3)} at ${x(s.best)}, ${y(s.best)}; highest ${digits(s.top, 3)}. Arrow keys read it point by point.`);
  }
  function contours(g, s, place) {
    g.strokeStyle = token("--ink"); g.globalAlpha = .45; g.lineWidth = 1;
    g.beginPath();
    for (let k = 1; k < 10; k++) for (let r = 0; r + 1 < s.R; r++) for (let c = 0; c + 1 < s.C; c++) {
      const corners = [[r, c], [r, c + 1], [r + 1, c + 1], [r + 1, c]], z = corners.map(([i, j]) => s.share(s.raw[i * s.C + j]) - k / 10), cuts = [];
      if (z.some(Number.isNaN)) continue;
      for (let e = 0; e < 4; e++) {
        const f = (e + 1) % 4;
        if (z[e] < 0 === z[f] < 0) continue;
        const t = z[e] / (z[e] - z[f]);
        cuts.push(place(corners[e][1] + t * (corners[f][1] - corners[e][1]), corners[e][0] + t * (corners[f][0] - corners[e][0])));
      }
      for (let e = 0; e + 1 < cuts.length; e += 2) { g.moveTo(...cuts[e]); g.lineTo(...cuts[e + 1]); }
    }
    g.stroke();
    g.globalAlpha = 1;
  }

  let waits = 0;
  function redraw() {
    if (waits) return;
    waits = requestAnimationFrame(() => { waits = 0; draw3(); draw2(); });
  }

  /* The mouse and the keys. */
  let held = null;
  space.addEventListener("pointerdown", (e) => { held = [e.clientX, e.clientY]; space.setPointerCapture(e.pointerId); });
  space.addEventListener("pointermove", (e) => {
    if (!held) return;
    view.turn += (e.clientX - held[0]) * .008;
    view.tilt = Math.max(.1, Math.min(1.5, view.tilt + (e.clientY - held[1]) * .006));
    held = [e.clientX, e.clientY];
    redraw();
  });
  for (const name of ["pointerup", "pointercancel"]) space.addEventListener(name, () => { held = null; });
  space.addEventListener("wheel", (e) => { e.preventDefault(); view.zoom = Math.max(.4, Math.min(4, view.zoom * (e.deltaY < 0 ? 1.08 : 1 / 1.08))); redraw(); }, { passive: false });
  space.addEventListener("keydown", (e) => {
    const moves = { ArrowLeft: () => { view.turn -= .1; }, ArrowRight: () => { view.turn += .1; }, ArrowUp: () => { view.tilt = Math.min(1.5, view.tilt + .08); }, ArrowDown: () => { view.tilt = Math.max(.1, view.tilt - .08); }, "+": () => { view.zoom *= 1.1; }, "-": () => { view.zoom /= 1.1; } };
    if (!moves[e.key]) return;
    e.preventDefault();
    moves[e.key]();
    redraw();
  });
  map.addEventListener("keydown", (e) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 0], ArrowDown: [-1, 0] }[e.key];
    if (!by || !known) return;
    e.preventDefault();
    const [R, C] = known.arrays.values.shape, from = cursor || [(R - 1) / 2, (C - 1) / 2];
    cursor = [Math.max(0, Math.min(R - 1, from[0] + by[0])), Math.max(0, Math.min(C - 1, from[1] + by[1]))];
    draw2();
  });
  map.addEventListener("pointermove", (e) => {
    if (!known) return;
    const box = map.getBoundingClientRect(), [R, C] = known.arrays.values.shape;
    cursor = [R - 1 - Math.min(R - 1, Math.max(0, Math.floor((e.clientY - box.top) / box.height * R))), Math.min(C - 1, Math.max(0, Math.floor((e.clientX - box.left) / box.width * C)))];
    draw2();
  });
  for (const name of ["pointerleave", "blur"]) map.addEventListener(name, () => { cursor = null; draw2(); });

  function ask(header, tell, ended) {
    if (stream) desk.cancel(stream.id);
    const mine = stream = desk.ask({ do: "landscape", run: start, ...header }, undefined, (a) => { if (!closed && mine === stream) tell(a); });
    stop.textContent = "Stop";
    const over = () => { if (mine !== stream || closed) return; stream = null; stop.textContent = "Draw again"; ended?.(); };
    mine.then(over, (problem) => { if (mine === stream && !closed) fill(wrong, sorry(problem, "landscape", fit.filter((r) => r !== start))); over(); });
  }
  function plane() {
    fill(wrong);
    fill(said, "The first points ...");
    bar.hidden = false;
    shell.address(`#/landscape/${encodeURIComponent(start)}?${new URLSearchParams({ size: size.value, span: reach.value, examples: examples.value })}`);
    ask({ size: +size.value, span: +reach.value, examples: +examples.value }, (a) => {
      known = a;
      bar.value = a.done / a.of;
      fill(said, `${digits(a.done)} of ${digits(a.of)} points after ${span(a.seconds)}: loss over ${digits(a.examples)} examples of ${a.data}, ${digits(a.weights)} weights.`);
      redraw();
    });
  }
  function path() {
    fill(wrong);
    fill(said, "Training once more, to see the way ...");
    bar.removeAttribute("value");
    ask({ part: "path", examples: +examples.value }, (a) => {
      if (!a.paths) { fill(said, `Training once more, ${span(a.seconds)} so far. ${a.said}`); return; }
      known = a;
      fill(said, `The way of training over ${digits(a.steps[a.steps.length - 1])} updates, in the plane that shows most of it: ${a.shares.map((x) => `${(100 * x).toFixed(0)} %`).join(" and ")} of its length. ` +
        (a.gap ? `It ends ${digits(a.gap, 2)} from the run's weights.` : "It ends at the run's very weights."));
      redraw();
    }, () => { bar.value = 1; bar.hidden = true; });
  }
  function line() {
    if (streamLine) desk.cancel(streamLine.id);
    const mine = streamLine = desk.ask({ do: "landscape", run: start, part: "line", examples: +examples.value }, undefined, (a) => {
      if (closed || mine !== streamLine) return;
      plot ||= chart(frame, { xlabel: "from the first weights (0) to the last (1)", ylabel: "loss", height: 260 });
      plot.set(Object.entries(a.lines).filter(([name]) => name.endsWith(", loss")).map(([name, y]) => ({ label: name.split(",")[0], x: a.at, y, dash: name.startsWith("valid") })));
      fill(lineSaid, `${a.at.length} of ${a.of} points; the ends are ${digits(a.distance, 3)} apart. Largest rise on the way: ${digits(a.climb, 3)}.`);
    });
    mine.catch((problem) => { if (!closed && mine === streamLine) fill(lineSaid, problem.message); });
  }

  const sizes = new ResizeObserver(redraw);
  sizes.observe(space);
  shell.onTheme.add(redraw);
  plane();
  line();
  return () => { closed = true; sizes.disconnect(); shell.onTheme.delete(redraw); if (stream) desk.cancel(stream.id); if (streamLine) desk.cancel(streamLine.id); plot?.close(); };
}
