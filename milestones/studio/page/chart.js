// Curves over one x axis, drawn by uPlot and changed in place: a zoom stays, nothing flickers.
import { h, token, SERIES } from "./dom.js";

const MANY = 12;  // lines: more have no legend, but the one under the pointer is named

/** chart(node, {xlabel, ylabel, logx, logy, height, onzoom}) -> {set([{label, x, y, dash}], ...), scale({logx, logy}),
 *  name(xlabel, ylabel), close()}. Lines may have different x; values that are null leave a gap. A zoom is drawn with
 *  the pointer, or with + - 0 and the arrows when the chart has the focus; onzoom([from, to] or null) hears of it. */
export function chart(node, options = {}) {
  const { height = 260, onzoom } = options;
  let { xlabel = "", ylabel = "" } = options;
  let { logx = false, logy = false } = options;
  const frame = h("div.chart", { role: "img", tabIndex: 0, onkeydown: keyed }), named = h("p.soft.small.named", { hidden: true });
  node.append(frame, named);
  function say() { frame.setAttribute("aria-label", `${ylabel} over ${xlabel}; + and - zoom, arrows move, 0 shows all`); }
  say();
  let plot = null, key = "", lines = [], shown = null;

  function table() {
    if (!lines.length) return [[]];
    const kept = (values) => (logy ? values.map((v) => (v > 0 ? v : null)) : values);  // a logarithm has no 0
    const same = lines.every((l) => l.x === lines[0].x);
    return same ? [lines[0].x, ...lines.map((l) => kept(l.y))] : uPlot.join(lines.map((l) => [l.x, kept(l.y)]));
  }

  function make() {
    const zoom = shown;
    plot?.destroy();
    frame.replaceChildren();
    const axis = { stroke: token("--soft"), grid: { stroke: token("--line"), width: 1 }, ticks: { stroke: token("--line"), width: 1 } };
    plot = new uPlot({
      width: Math.max(200, frame.clientWidth || 600), height,
      legend: { live: true, show: lines.length <= MANY }, cursor: { drag: { x: true, y: false }, focus: { prox: lines.length > MANY ? 30 : -1 } },
      focus: { alpha: lines.length > MANY ? .25 : 1 },
      scales: { x: { time: false, distr: logx ? 3 : 1 }, y: { distr: logy ? 3 : 1 } },
      axes: [{ ...axis, label: xlabel, labelSize: 22, size: 40 }, { ...axis, label: ylabel, labelSize: 22, size: 58 }],
      series: [{ label: xlabel || "x" }, ...lines.map((line, i) => ({
        label: line.label, stroke: token(line.color || SERIES[i % SERIES.length]), width: 2, dash: line.dash ? [6, 4] : undefined,
        spanGaps: true, points: { show: line.x.length < 2 }, ...(lines.length > MANY && { width: 1 }),
      }))],
      hooks: { setScale: [(u, name) => { if (name === "x" && u.scales.x.min != null && u.data[0]?.length) {
        const [first, last] = [u.data[0][0], u.data[0][u.data[0].length - 1]];
        const before = String(shown);
        shown = u.scales.x.min > first || u.scales.x.max < last ? [u.scales.x.min, u.scales.x.max] : null;
        if (String(shown) !== before) onzoom?.(shown);
      } }], setSeries: [(u, i, { focus }) => { if (focus != null && i != null) named.textContent = u.series[i].label; }] },
    }, table(), frame);
    named.hidden = lines.length <= MANY;
    named.textContent = named.hidden ? "" : `${lines.length} curves; point at one to read its name`;
    if (zoom) plot.setScale("x", { min: zoom[0], max: zoom[1] });
  }

  function keyed(event) {
    const x = plot?.data[0];
    if (!x?.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = [x[0], x[x.length - 1]], [from, to] = shown || all, wide = to - from;
    const [a, b] = { "+": [.25, -.25], "=": [.25, -.25], "-": [-.5, .5], ArrowLeft: [-.25, -.25], ArrowRight: [.25, .25], 0: [-1e9, 1e9] }[event.key] || [];
    if (a == null) return;
    event.preventDefault();
    let [low, high] = [from + a * wide, to + b * wide];
    if (a === b) [low, high] = low < all[0] ? [all[0], all[0] + wide] : high > all[1] ? [all[1] - wide, all[1]] : [low, high];
    plot.setScale("x", { min: Math.max(all[0], low), max: Math.min(all[1], high) });
  }

  const wide = new ResizeObserver(() => plot?.setSize({ width: Math.max(200, frame.clientWidth), height }));
  wide.observe(frame);
  const dark = new MutationObserver(make);
  dark.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return {
    set(...given) {
      lines = given.flat();
      const now = lines.map((l) => `${l.label}${l.dash}${l.color}${l.x.length < 2}`).join("|");
      if (!plot || now !== key) { key = now; make(); return; }
      const zoom = shown;
      plot.setData(table(), !zoom);
      if (zoom) plot.setScale("x", { min: zoom[0], max: zoom[1] });
    },
    /** Logarithmic axes or not; a zoom stays. */
    scale(axes) { ({ logx = logx, logy = logy } = axes); if (plot) make(); },
    /** Other axes of the same lines. */
    name(x, y) { if (x !== xlabel || y !== ylabel) { [xlabel, ylabel, shown] = [x, y, null]; say(); key = "\0"; } },
    close() { wide.disconnect(); dark.disconnect(); plot?.destroy(); frame.remove(); named.remove(); },
  };
}
