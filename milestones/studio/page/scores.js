// Scores as people read them: the figure, its interval, what it was measured on, and the published one beside it.
import { h, digits, styles } from "./dom.js";

styles("scores");

/** The score that a page is known by: its error, or its first. */
export function first(scores) { return "error" in scores ? "error" : Object.keys(scores)[0]; }

/** A score's name as words. */
export const spoken = (name) => name.replaceAll("_", " ");

/** {value, low, high} as texts with two digits of half the interval; low and high are empty where there is none. */
export function figures({ value, low, high }) {
  const half = (high - low) / 2;
  if (!(half > 0)) return { value: digits(value), low: "", high: "" };
  const places = Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(half))));
  const text = (x) => x.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  return { value: text(value), low: text(low), high: text(high) };
}

const gap = (unit) => (unit ? ` ${unit}` : "");

/** "0.82 to 1.21 %", or that there is no interval. */
export function interval(score) {
  const { low, high } = figures(score);
  return low ? `${low} to ${high}${gap(score.unit)}` : "no interval";
}

/** What a score was measured on. */
export function measured({ data, split, over }) {
  const where = data && split && !data.includes(split) ? `${data}, ${split}` : data || split || "unnamed data";
  return over > 0 ? `${where}, over ${over.toLocaleString("en")}` : where;
}

/** The published figure: beside ours on the same data, said to be none to compare with on other data. */
export function published(score) {
  if (score.paper == null) return null;
  const figure = h("b.num", `${digits(score.paper)}${gap(score.unit)}`);
  return score.comparable ? h("p.published", h("i.mark", { "aria-hidden": true }), "published: ", figure, " on the same data")
    : h("p.published.other", "published on other data: ", figure, score.paper_data ? ` (${score.paper_data})` : "", "; not comparable");
}

/** The interval as a bar from zero with the value as a dot, and a mark for the published figure where it may be compared. */
export function whisker(score) {
  const { value, low, high, unit } = score, paper = score.comparable ? score.paper : 0;
  if (!(low >= 0 && low <= value && value <= high && high > 0)) return null;
  const top = 1.1 * Math.max(high, paper), at = (x) => `${(100 * x) / top}%`;
  return h("div.whisker", { role: "img", "aria-label": `from 0: ${interval(score)}${paper ? `, published ${digits(paper)}${gap(unit)}` : ""}` },
    h("span.line"), h("span.range", { style: { left: at(low), width: at(high - low) } }), h("span.dot", { style: { left: at(value) } }),
    paper ? h("span.mark", { style: { left: at(paper) }, title: "published" }) : null);
}

/** One score, large. */
export function large(name, score) {
  const { value } = figures(score);
  return h("div.score", h("p.name", spoken(name), score.better && h("span.soft", ` · ${score.better} is better`)),
    h("p.figure.num", value, h("span", gap(score.unit))), whisker(score),
    h("p.small", `95 % interval ${interval(score)}`), h("p.small.soft", measured(score)), published(score),
    score.note ? h("p.small.soft", score.note) : null);
}

/** Where a run can be looked at, as far as its page fits: [name, address]. */
export function ways({ takes = [], probe = false, loss = false }, run) {
  const at = encodeURIComponent(run.run);
  return [takes.length && ["Use", `#/use/${at}`], (probe || takes.includes("image")) && ["Look inside", `#/look/${at}`], probe && ["Attack", `#/attack/${at}`],
    loss && ["Landscape", `#/landscape/${at}`]].filter(Boolean);
}
