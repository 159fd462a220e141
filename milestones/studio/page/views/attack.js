// Attack: how small a change of the input misleads a net.
import { h, fill, field, choice, digits, styles } from "../dom.js";
import { desk } from "../api.js";
import { chart } from "../chart.js";
import { exampleChoice, heatOf, newest, paint, runChoice, runsFor, sorry } from "../subject.js";

export const title = "Attack";

const METHODS = [["pgd", "PGD: many steps"], ["fgsm", "FGSM: one step"], ["square", "Square: no gradient"], ["autoattack", "AutoAttack"],
  ["universal", "One change for all"], ["deepfool", "DeepFool: nearest"], ["carlini", "Carlini and Wagner: nearest"], ["patch", "A sticker"]];
const QUICK = ["fgsm", "pgd"], FREE = ["deepfool", "carlini", "patch"], UNAIMED = ["autoattack", "universal"];

export async function open(root, words, params, shell) {
  await styles("look");
  let { fit, run } = await runsFor(words[0], "probe");
  if (!run) {
    fill(root, h("h1", title), h("p.lead", "No run here can be attacked yet. Train one that chooses among classes."));
    return;
  }
  const has = (name, usual) => params.get(name) ?? usual;
  let told = null, sizes = [], stream = null, plot = null, closed = false, reach = 0;

  const runs = runChoice(fit, run, (value) => shell.go(`#/attack/${encodeURIComponent(value)}`));
  const example = exampleChoice(+has("example", 1), () => { reset(); move(); });
  const norm = choice([["inf", "largest entry (inf)"], ["2", "length (2)"]], has("norm", "inf"), () => { fits(); reset(); sizes = []; move(); });
  const method = choice(METHODS, has("method", "pgd"), () => { fits(); move(); });
  const steps = h("input", { type: "number", min: 1, max: 400, value: has("steps", 40), onchange: () => steps.checkValidity() && move() });
  const target = choice([["", "any other class"]], "", () => { reset(); move(); });
  const size = h("input", { type: "range", min: 0, max: 240, step: 1, value: 0, list: "attack-sizes",
    oninput: () => { said(); if (QUICK.includes(method.value)) move(); }, onchange: () => { if (!QUICK.includes(method.value)) move(); } });
  const amount = h("output.num", { id: "attack-amount" });
  size.setAttribute("aria-describedby", "attack-amount");
  const marks = h("datalist", { id: "attack-sizes" });
  const nearestButton = h("button", { type: "button", onclick: nearest }, "Find the smallest change");
  const curveButton = h("button", { type: "button", onclick: curve }, "Accuracy over sizes");
  const count = h("input", { type: "number", min: 10, max: 1000, step: 10, value: 200 });

  const verdict = h("p.look-verdict", { role: "status" }), note = h("p.small.soft", { role: "status" }), wrong = h("div.look-wrong");
  const canvases = ["original", "change", "attacked"].map((name) => h("canvas.pixel.look-picture", { role: "img", "aria-label": name, width: 28, height: 28 }));
  const captions = canvases.map(() => h("figcaption.small"));
  const pictures = h("div.look-three", canvases.map((c, k) => h("figure", captions[k], c)));
  const rows = h("div"), bars = h("div.look-pairs"), frame = h("div"), curveSaid = h("p.small.soft", { role: "status" });
  const toNearest = h("button", { type: "button", hidden: true }, "Set the size to it");

  fill(root, h("h1", title), h("p.lead", "How small a change of the input misleads a trained net."),
    h("div.split",
      h("form.card", { onsubmit: (event) => event.preventDefault() }, field("Run", runs), example.node,
        field("Size of the change", size), marks, h("p.small", amount), field("Measured by", norm), field("Method", method),
        field("Steps", steps), field("Aim at", target), h("div.row", nearestButton, toNearest)),
      h("div.stack", wrong, h("section.card", { "aria-label": "The attack" }, verdict, pictures, rows, note),
        h("section.card", h("h2", "Its answers"), bars),
        h("section.card", h("h2", "How many are still right"), h("div.row", { style: { marginBottom: "12px" } }, h("div.look-short", field("Test examples", count)), curveButton), curveSaid, frame))));

  function fits() {
    for (const option of method.options) option.disabled = option.value === "carlini" && norm.value === "inf" || option.value === "patch" && told && !told.picture;
    if (method.selectedOptions[0]?.disabled) method.value = "pgd";
    size.disabled = FREE.includes(method.value);
    steps.disabled = method.value !== "pgd";
    target.disabled = UNAIMED.includes(method.value);
  }
  function reset() { toNearest.hidden = true; }
  const top = () => sizes.length ? sizes[sizes.length - 1] : 0;
  const value = () => sizes.length ? top() * size.value / 240 : +has("size", 0);
  function said() {
    const grey = told?.picture && norm.value === "inf" ? `, ${digits(255 * value(), 3)} grey levels of 255` : "";
    fill(amount, size.disabled ? "this method looks for its own size" : `${digits(value(), 3)} ${told?.unit || ""}${grey}`);
  }
  const common = (more) => ({ do: "attack", run, norm: norm.value, method: method.value, steps: +steps.value || 40,
    target: target.value === "" || target.disabled ? null : +target.value, ...more });

  const ask = newest(async () => {
    if (closed) return;
    const began = performance.now(), [header, payload] = example.ask(), first = !sizes.length;
    if (!QUICK.includes(method.value)) fill(note, "at work ...");
    try {
      let answer = await desk.ask(common({ ...header, size: value() }), payload);
      if (closed) return;
      if (first) {
        sizes = answer.sizes;
        fill(marks, [0, ...sizes].map((s) => h("option", { value: Math.round(240 * s / top()) })));
        if (!reach) size.value = Math.round(240 * Math.min(1, +has("size", sizes[Math.min(2, sizes.length - 1)]) / top()));
        reach = 1;
        meet(answer);
        if (value() > 0 && !FREE.includes(method.value)) answer = await desk.ask(common({ ...header, size: value() }), payload);
        if (closed) return;
      }
      fill(wrong);
      show(answer);
      fill(note, `${digits(answer.ms, 3)} ms to attack, ${Math.round(performance.now() - began)} ms until shown. ${asFile(answer)}`);
      root.dataset.latency = Math.round(performance.now() - began);
      link();
    } catch (problem) {
      if (closed) return;
      fill(wrong, sorry(problem, "attack", fit));
      fill(note);
    }
  });
  const move = () => ask();

  function link() {
    const state = new URLSearchParams({ ...(example.own ? {} : { example: example.number }), method: method.value, norm: norm.value, size: digits(value()).replace(/,/g, ""), ...(target.value ? { target: target.value } : {}) });
    shell.address(`#/attack/${encodeURIComponent(run)}?${state}`);
  }
  function meet(answer) {
    told = answer;
    example.meet(answer);
    const kept = target.value || has("target", "");
    fill(target, h("option", { value: "" }, "any other class"), answer.labels.map((label, k) => h("option", { value: k }, label)));
    target.value = answer.labels[kept] !== undefined ? kept : "";
    bars.replaceChildren();
    fits();
  }
  function asFile(a) {
    return a.as_file !== undefined && a.as_file !== a.after ? `Saved as a file, its levels rounded, it is ${a.labels[a.as_file]}.` : "";
  }

  function show(a) {
    if (told?.system !== a.system || told?.labels.length !== a.labels.length) meet(a);
    told = a;
    example.meet(a);
    said();
    const chance = (row, k) => `${(100 * a.arrays.chances.data[row * a.labels.length + k]).toFixed(1)} %`;
    const far = digits(a.distance, 3), name = (k) => a.labels[k];
    verdict.className = `look-verdict ${a.misled ? "bad" : "good"}`;
    fill(verdict, a.wrong_before ? `Wrong before any change: it is ${name(a.truth)}, the net says ${name(a.before)}.`
      : a.misled ? `Misled: ${name(a.before)} (${chance(0, a.before)}) becomes ${name(a.after)} (${chance(1, a.after)}) by a change of ${far}.`
      : `Not misled: still ${name(a.before)} (${chance(1, a.before)}), with a change of ${far}.`);
    pictures.hidden = !a.picture;
    rows.hidden = a.picture;
    if (a.picture) {
      [a.arrays.original, a.arrays.change, a.arrays.attacked].forEach((array, k) => paint(canvases[k], array));
      fill(captions[0], `${a.name}: ${name(a.before)}`);
      fill(captions[1], a.distance > 0 ? `the change, ${digits(a.times, 2)} times amplified` : "the change: none");
      fill(captions[2], `attacked: ${name(a.after)}`);
      canvases.forEach((c, k) => c.setAttribute("aria-label", captions[k].textContent));
    } else if (a.columns) {
      const { original: { data: old }, attacked: { data: now } } = a.arrays;
      fill(rows, h("div.scroll", h("table", h("thead", h("tr", ["", "before", "attacked", "change"].map((c) => h("th", { scope: "col" }, c)))),
        h("tbody", a.columns.slice(0, 12).map((c, i) => h("tr", h("th", { scope: "row" }, c), [old[i], now[i], now[i] - old[i]].map((v) => h("td.num", digits(v, 4)))))))));
    } else fill(rows, h("div.look-three", ["original", "attacked"].map((n) => h("figure", h("figcaption.small", n), heatOf(a.arrays[n], n)))));
    drawBars(a);
  }

  function drawBars(a) {
    const K = a.labels.length, p = a.arrays.chances.data;
    let order = [...Array(K).keys()];
    if (K > 10) order = order.sort((i, j) => Math.max(p[j], p[K + j]) - Math.max(p[i], p[K + i])).slice(0, 10);
    if (bars.childElementCount !== order.length + 1) {
      fill(bars, h("div.small.soft", h("b"), h("span", "before"), h("span", "attacked")), order.map(() => h("div", h("b"), ...[0, 1].map(() => h("span.look-chance", h("i"), h("span.num.small"))))));
    }
    order.forEach((k, row) => {
      const node = bars.children[row + 1], [label, ...cells] = node.children;
      label.textContent = a.labels[k];
      cells.forEach((cell, j) => {
        cell.firstChild.style.width = `${100 * p[j * K + k]}%`;
        cell.firstChild.className = j && k === a.after && a.misled ? "look-bad" : "";
        cell.lastChild.textContent = `${(100 * p[j * K + k]).toFixed(1)} %`;
      });
    });
  }

  async function nearest() {
    const [header, payload] = example.ask();
    nearestButton.disabled = true;
    fill(note, "looking for the smallest change ...");
    const tell = (a) => {
      if (closed) return;
      if (a.found == null) { fill(note, `${a.tried} found none.`); return; }
      show(a);
      fill(note, `The smallest change found: ${digits(a.found, 3)} ${a.unit}, by ${a.by}. ${asFile(a)}`);
      toNearest.hidden = a.found > top() || size.disabled;
      toNearest.onclick = () => { size.value = Math.ceil(240 * a.found / top()); said(); move(); };
    };
    try { await desk.ask(common({ ...header, method: "pgd", part: "nearest" }), payload, tell); } catch (problem) { if (!closed) fill(wrong, sorry(problem, "attack", fit)); }
    nearestButton.disabled = false;
  }

  async function curve() {
    if (stream) { desk.cancel(stream.id); return; }
    if (!count.checkValidity()) { count.reportValidity(); return; }
    const way = ["fgsm", "square"].includes(method.value) ? method.value : "pgd", by = METHODS.find(([m]) => m === way)[1].split(":")[0];
    curveButton.textContent = "Stop";
    plot?.close();
    plot = chart(frame, { xlabel: `size (norm ${norm.value})`, ylabel: "still right, %", height: 260 });
    stream = desk.ask(common({ example: 1, method: way, part: "curve", target: null, examples: +count.value || 200 }), undefined, (a) => {
      if (closed) return;
      if (!a.sizes) { curveSaid.dataset.share = a.share; return; }
      plot.set([{ label: `${by}`, x: a.sizes, y: a.accuracy }, { label: "95 % from", x: a.sizes, y: a.low, dash: true, color: "--edge" }, { label: "to", x: a.sizes, y: a.high, dash: true, color: "--edge" }]);
      fill(curveSaid, `${by}, norm ${a.norm}: ${a.done} of ${a.of} test examples. Dashed: the 95 % interval.`);
    });
    try { await stream; } catch (problem) { if (!closed) fill(curveSaid, problem.message); }
    stream = null;
    curveButton.textContent = "Accuracy over sizes";
  }

  fits();
  said();
  await ask();
  return () => { closed = true; if (stream) desk.cancel(stream.id); plot?.close(); };
}
