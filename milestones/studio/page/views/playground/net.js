// The net: a map for each unit, a line for each weight; both can be looked at, dragged and typed while it trains.
import { h, fill, digits } from "../../dom.js";
import { paint } from "./map.js";

const SIDE = 24, NS = "http://www.w3.org/2000/svg";
const svg = (tag, attributes = {}) => { const node = document.createElementNS(NS, tag); for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v); return node; };

/** net({change(text), resize(hidden), name(input)}) -> {node, inspector, shape(layers, names), frame(told), fixed(bool), close()}. */
export function net({ change, resize, fixed }) {
  const links = svg("svg", { "aria-hidden": "true" }), heads = h("div.heads"), units = h("div.units", { role: "group", "aria-label": "Units: arrow keys go from one to the next" });
  const card = h("div.value-card", { hidden: true }), node = h("div.net", heads, h("div.field-of-units", links, units, card)), inspector = h("div.inspector");
  let layers = [], names = [], outputs = [], buttons = [], lines = [], dots = [], picked = [1, 0], last = null, rows = [], drag = null;

  const title = ([l, u]) => l === 0 ? `Input ${names[u]}` : l === layers.length - 1 ? (layers[l] === 1 ? "Output" : `Output ${outputs[u]}`) : `Layer ${l}, unit ${u + 1}`;
  const offset = (l) => { let at = 0; for (let k = 0; k < l; k++) at += layers[k + 1] * layers[k] + layers[k + 1]; return at; };
  const weight = (l, u, from) => offset(l) + u * layers[l] + from, bias = (l, u) => offset(l) + layers[l + 1] * layers[l] + u;

  function shape(told, inputs, classes) {
    const key = JSON.stringify([told, inputs, classes]);
    if (key === JSON.stringify([layers, names, outputs])) return;
    [layers, names, outputs] = [told, inputs, classes];
    picked = layers[picked[0]] > picked[1] ? picked : [Math.min(1, layers.length - 1), 0];
    const hidden = layers.slice(1, -1);
    buttons = layers.map((count, l) => Array.from({ length: count }, (_, u) => h("button.unit", {
      type: "button", "aria-label": title([l, u]), title: title([l, u]), tabIndex: -1, onclick: () => pick(l, u), onfocus: () => pick(l, u), onkeydown: keys,
    }, h("canvas", { width: SIDE, height: SIDE }), (l === 0 || (l === layers.length - 1 && count > 1)) && h("span.unit-name", l ? outputs[u] : names[u]))));
    fill(units, buttons.flat());
    fill(heads, layers.map((count, l) => l === 0 ? h("div.head", h("span.small.soft", "inputs")) : l === layers.length - 1 ? h("div.head", h("span.small.soft", "output"))
      : h("div.head", { "data-part": "layers" }, h("div.row.pair",
        h("button.tiny", { type: "button", "aria-label": `One unit less in layer ${l}`, disabled: count <= 1, onclick: () => resize(hidden.map((n, k) => n - (k === l - 1))) }, "−"),
        h("span.num.small", String(count)),
        h("button.tiny", { type: "button", "aria-label": `One unit more in layer ${l}`, disabled: count >= 8, onclick: () => resize(hidden.map((n, k) => n + (k === l - 1))) }, "+")))));
    lines = []; dots = [];
    links.replaceChildren();
    for (let l = 0; l + 1 < layers.length; l++) for (let u = 0; u < layers[l + 1]; u++) {
      for (let from = 0; from < layers[l]; from++) {
        const seen = svg("path", { class: "link-line" }), hit = svg("path", { class: "link-hit" }), at = { l, u, from, seen, hit };
        hit.addEventListener("pointerenter", (event) => tell(at, event));
        hit.addEventListener("pointerleave", () => { if (!drag) hush(); });
        hit.addEventListener("pointerdown", (event) => { if (!last || fixed()) return; drag = { at, y: event.clientY, value: last.weights[weight(l, u, from)], moved: false }; hit.setPointerCapture(event.pointerId); event.preventDefault(); });
        hit.addEventListener("pointermove", (event) => {
          if (drag?.at !== at) return;
          const value = drag.value + (drag.y - event.clientY) * 0.02;
          drag.moved ||= Math.abs(drag.y - event.clientY) > 3;
          if (drag.moved) { change(`w${l}.${u}.${from}=${value.toFixed(3)}`); tell(at, event); }
        });
        hit.addEventListener("pointerup", () => { const moved = drag?.moved; drag = null; if (!moved) { pick(l + 1, u); inspector.querySelectorAll("input[type=number]")[from + 1]?.focus(); } });
        links.append(seen, hit);
        lines.push(at);
      }
      const dot = svg("circle", { r: 4, class: "bias" });
      links.append(dot);
      dots.push({ l, u, dot });
    }
    place();
    pick(...picked, true);
  }

  function place() {
    const width = node.clientWidth || 480, most = Math.max(...layers), size = Math.max(24, Math.min(46, width / (layers.length * 1.75)));
    const step = Math.min(1.5 * size, Math.max(size + 13, 400 / most)), height = most * step + 8, gap = (width - size - 16) / Math.max(1, layers.length - 1);
    links.setAttribute("width", width); links.setAttribute("height", height);
    units.style.height = `${height}px`;
    const x = (l) => 8 + l * gap, y = (l, u) => (height - layers[l] * step) / 2 + u * step + (step - size) / 2;
    buttons.forEach((column, l) => {
      heads.children[l].style.left = `${x(l) + size / 2}px`;
      column.forEach((button, u) => Object.assign(button.style, { left: `${x(l)}px`, top: `${y(l, u)}px`, width: `${size}px`, height: `${size}px` }));
    });
    for (const { l, u, from, seen, hit } of lines) {
      const [a, b, c, d] = [x(l) + size, y(l, from) + size / 2, x(l + 1), y(l + 1, u) + size / 2 + (from - (layers[l] - 1) / 2) * Math.min(3, size / 12)], m = (a + c) / 2;
      for (const path of [seen, hit]) path.setAttribute("d", `M${a} ${b}C${m} ${b} ${m} ${d} ${c} ${d}`);
    }
    for (const { l, u, dot } of dots) { dot.setAttribute("cx", x(l + 1) - 1); dot.setAttribute("cy", y(l + 1, u) + size - 3); }
  }

  function keys(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const l = Math.max(0, Math.min(layers.length - 1, picked[0] + move[0]));
    buttons[l][Math.max(0, Math.min(layers[l] - 1, picked[1] + move[1]))].focus();
  }

  function pick(l, u, anew = false) {
    if (!anew && picked[0] === l && picked[1] === u && rows.length + (l === 0)) return;
    picked = [l, u];
    for (const button of buttons.flat()) { button.tabIndex = -1; button.classList.remove("picked"); button.removeAttribute("aria-current"); }
    buttons[l][u].tabIndex = 0;
    buttons[l][u].classList.add("picked");
    buttons[l][u].setAttribute("aria-current", "true");
    rows = [];
    const big = h("canvas.big-map", { width: SIDE, height: SIDE, role: "img", "aria-label": `${title(picked)} over the plane` }), top = h("p.small.soft.num");
    if (l) rows = [["bias", bias(l - 1, u), `b${l - 1}.${u}`, null], ...Array.from({ length: layers[l - 1] }, (_, from) =>
      [`from ${title([l - 1, from]).replace(/^(Input|Layer) /, (word) => word === "Layer " ? "layer " : "")}`, weight(l - 1, u, from), `w${l - 1}.${u}.${from}`, from])].map(row);
    fill(inspector, h("div.row.top-row", big, h("div", h("h3", title(picked)), top, l === 0 && h("p.small.soft", "What goes into the net, before it is set to mean 0 and spread 1 over the training points."))),
      rows.length ? h("div.weights", { "data-part": "weights" }, h("span"), h("span.small.soft", "drag, arrow keys or type"), h("span"), h("span.small.soft.slope", "gradient"), rows.map((r) => r.nodes)) : null);
    inspector.big = big; inspector.top = top;
    if (last) inspect();
  }

  function row([label, index, key, from]) {
    const slider = h("input", { type: "range", min: -4, max: 4, step: 0.05, "aria-label": `${label}, slider` }), typed = h("input.num", { type: "number", step: 0.05, "aria-label": label });
    const slope = h("span.num.small.soft.slope");
    const made = { index, slider, typed, slope, held: false, nodes: [h("span.small", label), slider, typed, slope] };
    slider.addEventListener("input", () => { typed.value = slider.value; change(`${key}=${Number(slider.value)}`); });
    typed.addEventListener("change", () => { if (typed.value !== "" && Number.isFinite(typed.valueAsNumber)) change(`${key}=${Math.max(-9999, Math.min(9999, typed.valueAsNumber))}`); });
    for (const [name, on] of [["pointerdown", true], ["pointerup", false], ["pointercancel", false]]) slider.addEventListener(name, () => { made.held = on; });
    for (const input of [slider, typed]) {
      input.disabled = fixed();
      input.addEventListener("focus", () => { if (from != null) lines.find((one) => one.l === picked[0] - 1 && one.u === picked[1] && one.from === from)?.seen.classList.add("lit"); });
      input.addEventListener("blur", () => { for (const one of lines) one.seen.classList.remove("lit"); });
    }
    return made;
  }

  function inspect() {
    const at = layers.slice(0, picked[0]).reduce((a, b) => a + b, 0) + picked[1];
    paint(inspector.big, last.units.subarray(at * SIDE * SIDE, (at + 1) * SIDE * SIDE), SIDE);
    inspector.top.textContent = `colours from −${digits(last.tops[at], 2)} to ${digits(last.tops[at], 2)}`;
    for (const { index, slider, typed, slope, held } of rows) {
      const value = last.weights[index];
      if (!held && Number.isFinite(value)) { const most = Math.max(4, Math.ceil(Math.abs(value))); slider.min = -most; slider.max = most; slider.value = value; }
      if (!typed.dataset.typing) typed.value = Number.isFinite(value) ? value.toFixed(3) : "";
      slope.textContent = Number.isFinite(last.gradients[index]) ? last.gradients[index].toFixed(3) : "–";
    }
  }
  inspector.addEventListener("input", (event) => { if (event.target.type === "number") event.target.dataset.typing = "1"; });
  for (const name of ["change", "focusout"]) inspector.addEventListener(name, (event) => { delete event.target.dataset.typing; });

  function tell(at, event) {
    if (!last) return;
    const box = node.querySelector(".field-of-units").getBoundingClientRect(), index = weight(at.l, at.u, at.from);
    for (const one of lines) one.seen.classList.toggle("lit", one === at);
    fill(card, h("b", `${title([at.l, at.from])} → ${title([at.l + 1, at.u])}`), h("span.num", `weight ${digits(last.weights[index], 3)}, gradient ${digits(last.gradients[index], 2)}`),
      !fixed() && h("span.soft.small", "drag up or down, or click to type"));
    card.hidden = false;
    card.style.left = `${Math.max(0, Math.min(box.width - 230, event.clientX - box.left + 12))}px`;
    card.style.top = `${event.clientY - box.top + 14}px`;
  }
  function hush() { card.hidden = true; for (const one of lines) one.seen.classList.remove("lit"); }

  function frame(told) {
    last = { units: told.arrays.units.data, weights: told.arrays.weights.data, gradients: told.arrays.gradients.data, tops: told.tops };
    buttons.flat().forEach((button, i) => paint(button.firstChild, last.units.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE), SIDE));
    for (const { l, u, from, seen } of lines) {
      const value = last.weights[weight(l, u, from)];
      seen.style.strokeWidth = Math.min(12, 0.4 + 2.2 * Math.abs(value) || 0.4);
      seen.classList.toggle("below", value < 0);
    }
    for (const { l, u, dot } of dots) { const value = last.weights[bias(l, u)]; dot.classList.toggle("below", value < 0); dot.style.r = `${Math.min(5, 1.5 + 2 * Math.abs(value)) || 1.5}px`; }
    inspect();
  }

  const watch = new ResizeObserver(() => { if (layers.length) place(); });
  watch.observe(node);
  return { node, inspector, shape, frame, again() { if (last) { buttons.flat().forEach((button, i) => paint(button.firstChild, last.units.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE), SIDE)); inspect(); } }, close() { watch.disconnect(); } };
}
