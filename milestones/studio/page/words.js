// Alignments: what each output word attends to, by words that light up; and matrices over seconds, under a sound.
import { h } from "./dom.js";
import { matrix, shade } from "./media.js";

/** Two lines of words; the one under the pointer or the focus lights what it attends to. The matrix is below. */
export function attention(value) {
  const { values, rows, columns } = value, cells = [];
  const sources = columns.map((word) => h("span.token", word)), said = h("p.small", { role: "status" });
  const light = (r) => {
    sources.forEach((node, c) => { node.style.background = r == null ? "" : `rgb(${shade(.75 * values[r][c]).join(" ")})`; node.classList.toggle("lit", r != null && values[r][c] > .2); });
    outputs.forEach((node, k) => node.classList.toggle("lit", k === r));
    cells.forEach((line, k) => line.parentNode.classList.toggle("lit", k === r));
    const best = r == null ? [] : [...values[r].keys()].sort((a, b) => values[r][b] - values[r][a]).slice(0, 3).filter((c) => values[r][c] >= .05);
    said.textContent = r == null ? "Point at an output, or move the focus there, to see what it attends to." : `${rows[r]}: ${best.map((c) => `${columns[c]} ${Math.round(100 * values[r][c])} %`).join(", ")}`;
  };
  const outputs = rows.map((word, r) => h("button.token", { type: "button", onfocus: () => light(r), onmouseenter: () => light(r), onclick: () => light(r) }, word));
  const table = h("table.attention", h("thead", h("tr", h("td"), columns.map((word) => h("th", { scope: "col" }, word)))),
    h("tbody", values.map((line, r) => { const head = h("th", { scope: "row" }, rows[r]); cells.push(head); return h("tr", head, line.map((v) => h("td", { title: `${Math.round(100 * v)} %`, style: { background: `rgb(${shade(v).join(" ")})` } }))); })));
  light(null);
  return h("div.stack.words", h("div", h("p.soft.small", value.xlabel || "source"), h("p.tokens", sources)), h("div", h("p.soft.small", value.ylabel || "output"), h("p.tokens", outputs)), said, h("div.scroll", table));
}

/** A matrix whose columns are moments: as wide as the sound above it, each row with its name. */
export function timed(value) {
  const high = Math.max(...value.values.flat().filter((v) => v != null), 1e-12);
  const lanes = value.values.map((line, r) => {
    const canvas = matrix([line.map((v) => v ?? 0), line.map(() => high)], { label: `${value.rows[r] ?? r}` });
    const thin = h("canvas", { width: line.length, height: 1, role: "img", "aria-label": `${value.rows[r] ?? `row ${r + 1}`}, highest at column ${line.indexOf(Math.max(...line)) + 1} of ${line.length}` });
    thin.getContext("2d").drawImage(canvas, 0, 0);
    return h("div.timed.thin", h("b.small", value.rows[r] ?? ""), h("div.lane", thin, h("i.now", { hidden: true })));
  });
  const ends = value.columns?.length ? [value.columns[0], value.columns[Math.floor((value.columns.length - 1) / 2)], value.columns.at(-1)] : [];
  return h("div", lanes, h("div.timed", h("span.soft.small", "s"), h("div.row.spread.soft.small.num", ends.map((t) => h("span", t)))));
}
