// Look: what in an input speaks for an answer, and what the layers of a net have learned.
import { h, fill, field, choice, digits, styles, token, SERIES } from "../dom.js";
import { desk } from "../api.js";
import { draw } from "../media.js";
import { exampleChoice, heatOf, overlay, paint, runChoice, runsFor, sideBars, sorry } from "../subject.js";

export const title = "Look";

export async function open(root, words, params, shell) {
  await styles("look");
  const { fit, run } = await runsFor(words[0], "probe");
  if (!run) {
    fill(root, h("h1", title), h("p.lead", "No run here can be looked into yet. Train one that chooses among classes."));
    return;
  }
  let closed = false, stream = null, told = null, maps = [], turn = 0, inner = null, part = params.get("part") === "inside" ? "inside" : "maps";
  const runs = runChoice(fit, run, (value) => shell.go(`#/look/${encodeURIComponent(value)}${part === "inside" ? "?part=inside" : ""}`));
  const example = exampleChoice(+(params.get("example") || 1), () => { target.value = ""; start(); });
  const target = choice([["", "the net's answer"]], "", () => start());
  const strength = h("input", { type: "range", min: 0, max: 100, value: 80, oninput: again });
  const wrong = h("div.look-wrong"), status = h("p.small.soft", { role: "status" }), shown = h("div"), grid = h("div.look-maps"), agree = h("div"), left = h("p.small.soft");
  const outside = h("div.stack", wrong, h("section.card", shown, status), grid, agree, left);
  const inside = h("div.stack", { hidden: true });
  const tabs = [["maps", "One example"], ["inside", "Inside the net"]].map(([name, text]) => h("button", { type: "button", onclick: () => go(name), "data-part": name }, text));
  const mine = [example.node, field("Why", target, "The class that the maps explain."), field("Strength of the maps", strength)];

  fill(root, h("h1", title), h("p.lead", "What speaks for an answer, how far each explanation can be trusted, and what the layers learned."),
    h("div.split", h("form.card", { onsubmit: (event) => event.preventDefault() }, field("Run", runs), h("div.row", { style: { marginBottom: "12px" } }, tabs), mine,
      h("div.look-legend.small.soft", h("span", h("i", { style: { background: "var(--positive)" } }), "speaks for it"), h("span", h("i", { style: { background: "var(--negative)" } }), "against"))),
    h("div", outside, inside)));

  function go(name) {
    part = name;
    tabs.forEach((t) => t.setAttribute("aria-pressed", t.dataset.part === name));
    outside.hidden = name !== "maps";
    inside.hidden = name !== "inside";
    mine.forEach((node) => { node.hidden = name !== "maps"; });
    link();
    if (name === "maps" && !told) return start();
    if (name === "inside" && !inner) return look();
  }
  function link() {
    const state = new URLSearchParams(part === "inside" ? { part } : { ...(example.own ? {} : { example: example.number }), ...(target.value ? { target: target.value } : {}) });
    shell.address(`#/look/${encodeURIComponent(run)}?${state}`);
  }

  async function start() {
    const my = ++turn;
    if (stream) desk.cancel(stream.id);
    link();
    const aim = target.value || (told ? "" : params.get("target") || "");
    const [header, payload] = example.ask(), kept = maps;
    maps = [];
    let failed = null, first;
    const begun = new Promise((done) => { first = done; });
    stream = desk.ask({ do: "explain", run, ...header, target: aim === "" ? null : +aim }, payload, (a) => {
      if (closed || my !== turn) return;
      if (a.methods) { meet(a, aim); first(); } else if (a.agree) agreement(a); else if (a.why) maps.push(a);
      else { maps.push(a); place(a); }
      if (a.method) fill(status, `${maps.length} of ${told.methods.length} explanations`);
    });
    const mineStream = stream;
    mineStream.then(() => { if (!closed && my === turn) finish(); }, (problem) => { failed = problem; first(); });
    await begun;
    if (failed && !closed && my === turn) { maps = kept; fill(wrong, sorry(failed, "look", fit)); fill(status); }
  }

  function meet(a, aim) {
    told = a;
    fill(wrong);
    example.meet(a);
    fill(target, h("option", { value: "" }, "the net's answer"), a.labels.map((label, k) => h("option", { value: k }, label)));
    target.value = aim;
    const picture = a.arrays.input.data instanceof Uint8Array;
    const input = picture ? h("canvas.pixel.look-picture", { role: "img", "aria-label": a.name, style: { maxWidth: "180px" } }) : a.columns ? null : heatOf(a.arrays.input, a.name);
    if (picture) paint(input, a.arrays.input);
    fill(shown, h("div.row", { style: { alignItems: "start", gap: "20px" } }, input, h("div", { style: { flex: 1, minWidth: "200px" } },
      h("h2", `${a.name}: the net says ${a.labels[a.said]}`, a.truth != null && a.truth !== a.said ? `, it is ${a.labels[a.truth]}` : ""),
      draw({ kind: "ranking", value: a.answer.slice(0, 5) }))));
    fill(status, `Why ${a.labels[a.explained]}? Compared with ${a.nothing}.`);
    fill(grid);
    fill(agree);
    fill(left);
  }

  function body(a) {
    const map = a.arrays.map, flat = map.shape.length === 1;
    if (flat && told.columns) return sideBars(told.columns, map.data);
    const canvas = h("canvas", { role: "img", "aria-label": `${a.title}: ${a.sentence}` });
    const input = told.arrays.input, fits = input.data instanceof Uint8Array;
    overlay(canvas, fits ? input : { data: new Float32Array(0), shape: [1] }, map, strength.value / 100);
    if (flat) canvas.style.height = "40px";
    return canvas;
  }
  function place(a) {
    const gain = Math.max(-50, Math.min(50, a.gain)), from = 50 + Math.min(0, gain);
    a.node = h("article.card", { "data-method": a.method }, h("h3", a.title, h(`span.small${a.trusted ? ".good" : ".bad"}`, a.trusted ? "✓ holds" : "✗ doubtful")), a.body = h("div", body(a)),
      h("div.look-track", { role: "img", "aria-label": `${digits(a.gain, 3)} points over chance` }, h("i", { style: { left: `${from}%`, width: `${Math.abs(gain)}%`, background: `var(${a.trusted ? "--good" : "--bad"})` } }), h("b")),
      h("p.small.num", `${a.gain >= 0 ? "+" : ""}${digits(a.gain, 3)} points over chance`, a.similarity == null ? "" : `; like random nets ${digits(a.similarity, 2)}`, a.completeness == null ? "" : `; sum off by ${digits(100 * a.completeness, 2)} %`),
      h("p.small.soft", a.sentence));
    const after = maps.filter((m) => m.node && m !== a && better(m, a)).length;
    grid.insertBefore(a.node, grid.children[after] || null);
  }
  const better = (m, a) => m.trusted !== a.trusted ? m.trusted : m.gain >= a.gain;
  function again() { for (const a of maps) if (a.body) fill(a.body, body(a)); }

  function agreement(a) {
    const names = a.agree.map((m) => maps.find((x) => x.method === m).title);
    fill(agree, h("section.card", h("h2", "How far they agree"), h("p.small.soft", "Rank correlation of each map with each: 1 is the same order of places, 0 is none."),
      draw({ kind: "heat", value: { values: a.values.map((line) => line.map((v) => +v.toFixed(2))), rows: names, columns: names, ylabel: "", xlabel: "" } })));
  }
  function finish() {
    const out = maps.filter((m) => m.why);
    fill(status, `Why ${told.labels[told.explained]}? Compared with ${told.nothing}. Best explanations first: by how much faster the answer changes when what they mark is hidden or shown, than in random order.`);
    fill(left, out.length ? `Left out: ${out.map((m) => `${m.title} (${m.why})`).join("; ")}.` : "");
  }

  async function look() {
    const busy = h("p.small.soft", { role: "status" }, "Looking inside ...");
    fill(inside, busy);
    const add = (heading, ...nodes) => inside.insertBefore(h("section.card", h("h2", heading), ...nodes), busy);
    let cloud = null, units = null;
    const picture = (array, label) => {
      const canvas = h("canvas", { role: "img", "aria-label": label });
      paint(canvas, array);
      return h("div.look-strip", { tabIndex: 0 }, canvas);
    };
    inner = desk.ask({ do: "explain", run, part: "inside" }, undefined, (a) => {
      if (closed) return;
      if (a.show === "census") add("Layers", h("p.small.soft", `${digits(a.parameters)} parameters, ${digits(a.multiply_adds)} multiplications and additions for one input.`),
        draw({ kind: "listing", value: { columns: ["layer", "puts out", "parameters", "multiply-adds"], cells: a.census.map((c) => [c.name, c.shape.join(" × "), c.parameters, c.multiply_adds]) } }), a.notes.map((n) => h("p.note.small", n)));
      if (a.show === "points") {
        if (!cloud) { cloud = points(shell, (n) => { example.set(n); go("maps"); start(); }); add("Test examples, by what a layer says of them", cloud.node); }
        cloud.add(a);
      }
      if (a.show === "probes") {
        add("What can be read of each layer", h("p.small.soft", "Test examples that a linear reader of the layer gets right, %."),
          draw({ kind: "listing", value: { columns: ["layer", "right, %", "95 % interval"], cells: a.probes.map((p) => [p.layer, +p.accuracy.toFixed(1), `${p.low.toFixed(1)} to ${p.high.toFixed(1)}`]) } }));
      }
      if (a.show === "alike") add("How alike the layers are", h("p.small.soft", `Likeness (CKA) over ${a.over} test examples: 1 is the same up to a turn.`), draw({ kind: "heat", value: { ...a, values: a.values.map((l) => l.map((v) => +v.toFixed(2))), xlabel: "", ylabel: "" } }));
      if (a.show === "filters") add(`Filters of ${a.layer}`, picture(a.arrays.picture, `filters of ${a.layer}`));
      if (a.show === "units") {
        if (!units) { units = h("div.stack"); add("What excites the units most", units); }
        units.append(h("div", h("h3", `${a.layer}: ${a.count} units${a.silent ? `, ${a.silent} silent` : ""}, each sees ${a.field.join(" × ")} pixels`), picture(a.arrays.picture, `what excites units of ${a.layer}`)));
      }
    });
    try { await inner; fill(busy); } catch (problem) { inner = null; if (!closed) fill(busy, sorry(problem, "look", fit)); }
  }

  const redraw = () => again();
  shell.onTheme.add(redraw);
  const opening = go(part);
  if (part === "maps") await opening;
  return () => { closed = true; shell.onTheme.delete(redraw); if (stream) desk.cancel(stream.id); if (inner) desk.cancel(inner.id); };
}

/** Points of test examples in a plane, in the colour of their class; a click opens one. */
function points(shell, onPick) {
  const layers = [], canvas = h("canvas.look-points", { role: "img" }), said = h("p.small.soft.num", { role: "status" });
  let a = null, at = [];
  const layer = choice([], "", () => { a = layers.find((l) => l.layer === layer.value); paintPoints(); });
  const node = h("div", h("div.look-short", field("Layer", layer)), canvas, said);
  const color = (k) => token(SERIES[k % SERIES.length]);
  function paintPoints() {
    if (!a) return;
    const wide = Math.max(280, canvas.clientWidth || 600), high = Math.min(460, Math.round(wide * .65)), dots = devicePixelRatio || 1;
    Object.assign(canvas, { width: wide * dots, height: high * dots });
    const g = canvas.getContext("2d"), p = a.arrays.points.data, n = p.length / 2;
    g.scale(dots, dots);
    const ends = [0, 1].map((d) => { let low = Infinity, top = -Infinity; for (let i = d; i < p.length; i += 2) { low = Math.min(low, p[i]); top = Math.max(top, p[i]); } return [low, top]; });
    at = Array.from({ length: n }, (_, i) => [0, 1].map((d) => 14 + ((p[2 * i + d] - ends[d][0]) / (ends[d][1] - ends[d][0] || 1)) * ((d ? high : wide) - 28)));
    const letters = a.labels.every((l) => l.length <= 2);
    g.font = "600 11px system-ui, sans-serif"; g.textAlign = "center"; g.textBaseline = "middle";
    at.forEach(([x, y], i) => {
      const k = a.arrays.classes.data[i];
      g.fillStyle = color(k);
      if (letters) g.fillText(a.labels[k], x, high - y);
      else { g.beginPath(); g.arc(x, high - y, 3, 0, 7); g.fill(); }
    });
    at = at.map(([x, y]) => [x, high - y]);
    canvas.setAttribute("aria-label", `${n} test examples by ${a.layer}, coloured by class`);
    fill(said, `${n} test examples of ${a.labels.length} classes; the two axes hold ${a.explained.map((s) => `${s.toFixed(0)} %`).join(" and ")} of the spread. `,
      letters ? "" : a.labels.slice(0, 12).map((l, k) => h("span.look-legend", { style: { display: "inline-block", marginRight: "10px" } }, h("i", { style: { background: color(k) } }), l)));
  }
  function near(event) {
    const box = canvas.getBoundingClientRect(), [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1, least = 200;
    at.forEach(([u, v], i) => { const d = (u - x) ** 2 + (v - y) ** 2; if (d < least) { least = d; best = i; } });
    return best;
  }
  canvas.addEventListener("pointermove", (event) => { const i = near(event); canvas.title = i < 0 ? "" : `test ${a.arrays.numbers.data[i]}: ${a.labels[a.arrays.classes.data[i]]}`; });
  canvas.addEventListener("click", (event) => { const i = near(event); if (i >= 0) onPick(a.arrays.numbers.data[i]); });
  shell.onTheme.add(paintPoints);
  new ResizeObserver(() => canvas.isConnected && paintPoints()).observe(node);
  return { node, add(given) {
    layers.push(given);
    layer.append(h("option", { value: given.layer }, given.layer));
    if (given.chosen || !a) { a = given; layer.value = given.layer; }
    paintPoints();
  } };
}
