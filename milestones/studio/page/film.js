// A film: frames to play, step through and choose; saliency over them; the values of the frames as lines with a cursor.
import { h, digits, token, SERIES } from "./dom.js";
import { rgb } from "./media.js";

/** A player of {shape: [T, H, W, C], data}; the last channel is saliency where value.saliency. */
export function film(value, { shape: [count, height, width, channels], data }) {
  const colour = channels - (value.saliency ? 1 : 0), canvas = h("canvas.pixel.frame", { width, height, role: "img", "aria-label": "frame" });
  const pen = canvas.getContext("2d"), pixels = new ImageData(width, height), rate = value.rate_hz;
  canvas.style.width = `${width * Math.max(1, Math.floor(320 / Math.max(width, height)))}px`;
  let at = 0, timer = 0;
  const slider = h("input", { type: "range", min: 0, max: count - 1, value: 0, "aria-label": "Frame", oninput: () => { stop(); show(+slider.value); } });
  const strength = h("input", { type: "range", min: 0, max: 100, value: 60, "aria-label": "Strength of the saliency", oninput: () => show(at) });
  const playing = h("button", { type: "button", onclick: () => (timer ? stop() : start()) }, "Play");
  const step = (by, words, sign) => h("button.icon", { type: "button", "aria-label": words, onclick: () => { stop(); show((at + by + count) % count); } }, sign);
  const told = h("p.small.num", { role: "status" }), lines = Object.entries(value.values), cursors = [];
  function start() {
    if (at >= count - 1) show(0);
    playing.textContent = "Pause";
    timer = setInterval(() => { if (!canvas.isConnected) return stop(); if (at >= count - 1) stop(); else show(at + 1); }, 1000 / rate);
  }
  function stop() { clearInterval(timer); timer = 0; playing.textContent = "Play"; }
  function show(frame) {
    at = frame;
    const size = height * width * channels, start = at * size, over = rgb(token("--s2")), share = strength.value / 100;
    for (let i = 0; i < height * width; i++) {
      const a = value.saliency ? share * data[start + i * channels + channels - 1] / 255 : 0;
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = data[start + i * channels + (colour === 3 ? c : 0)] * (1 - a) + over[c] * a;
      pixels.data[4 * i + 3] = 255;
    }
    pen.putImageData(pixels, 0, 0);
    slider.value = at;
    slider.setAttribute("aria-valuetext", `frame ${at + 1} of ${count}`);
    told.textContent = `frame ${at + 1} of ${count}${lines.map(([name, line]) => `, ${name} ${digits(line[at])}`).join("")}`;
    for (const cursor of cursors) { cursor.setAttribute("x1", at); cursor.setAttribute("x2", at); }
  }
  const s = (tag, attributes) => { const node = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v); return node; };
  const curves = lines.map(([name, line], k) => {
    const known = line.filter((v) => v != null), [low, high] = [Math.min(...known), Math.max(...known)], y = (v) => 95 - 90 * (v - low) / (high - low || 1);
    const svg = s("svg", { viewBox: `0 0 ${Math.max(1, count - 1)} 100`, preserveAspectRatio: "none", class: "values", role: "img", "aria-label": `${name} of each frame, ${digits(low)} to ${digits(high)}` });
    svg.append(s("polyline", { points: line.map((v, i) => (v == null ? "" : `${i},${y(v)}`)).join(" "), fill: "none", stroke: `var(${SERIES[k % SERIES.length]})`, "stroke-width": 2, "vector-effect": "non-scaling-stroke" }));
    cursors.push(svg.appendChild(s("line", { x1: 0, x2: 0, y1: 0, y2: 100, stroke: "var(--ink)", "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" })));
    return h("figure", h("figcaption.soft.small.num", `${name}: ${digits(low)} to ${digits(high)}`), svg);
  });
  show(0);
  return h("div.film", canvas, h("div.row", step(-1, "The frame before", "‹"), playing, step(1, "The next frame", "›")), slider, told,
    value.saliency ? h("label.small.row", "Saliency", strength) : null, curves);
}
