// The systems by year: what each showed, its result beside the published one, where to go on.
import { h, fill, styles } from "../dom.js";
import { get, events } from "../api.js";
import { first, large, spoken, ways } from "../scores.js";

export const title = "Timeline";

export async function open(root, words, params, shell) {
  const [systems] = await Promise.all([get("timeline"), styles("timeline"), styles("scores")]);
  const known = systems.filter((s) => s.year).sort((a, b) => a.year - b.year), own = systems.filter((s) => !s.year);
  const cards = new Map(systems.map((system) => [system.name, card(system)]));
  fill(root, h("header.opening", h("h1", "The systems that made deep learning"),
    h("p.lead", "Each is one page of Python: train it, change it, look inside, use it on your own data.")),
    axis(known),
    h("ol.years", known.map((system, i) => {
      const gap = i ? system.year - known[i - 1].year : 0;
      return h("li", { id: `year-${system.name}`, class: gap ? "new" : i ? "same" : "new", style: { marginTop: `${gap ? 14 + 10 * Math.log2(1 + gap) : 14}px` } },
        gap > 25 ? h("p.gap", { "aria-hidden": true }, `${gap} years`) : null,
        h("p.year.num", h("span", { class: gap || !i ? "" : "visually-hidden" }, String(system.year))), cards.get(system.name).node);
    })),
    own.length ? h("section.own", h("h2", "Your own pages"), h("div.stack", own.map((system) => cards.get(system.name).node))) : null);
  for (const system of systems) cards.get(system.name).paint(system.runs);
  const source = events({
    onRuns: (list) => { for (const { name } of systems) cards.get(name).paint(list.filter((run) => run.system === name)); },
    onLink: shell.link,
  });
  return () => source.close();
}

/** A system's card, whose result and links change in place. */
function card(system) {
  const result = h("div.result"), links = h("div.row.ways"), live = h("span");
  let before = "";
  const node = h("article.card.system", { "aria-labelledby": `name-${system.name}` },
    h("div.told", h("p.call", h("code", system.name), live), h("h2", { id: `name-${system.name}` }, system.title),
      h("p.showed", system.showed), system.paper && h("p.paper.small.soft", system.paper),
      system.idea || system.deviations ? h("details", h("summary", "Idea", system.deviations ? " and what differs from the paper" : ""),
        system.idea && h("p", h("b", "Idea. "), system.idea), system.deviations && h("p", h("b", "Here. "), system.deviations)) : null, links),
    result);
  return {
    node,
    paint(runs) {
      const done = runs.filter((run) => run.state === "finished" && Object.keys(run.scores).length);
      const run = done.find((each) => !each.shipped) || done[0], training = runs.find((each) => each.state === "training");
      const now = JSON.stringify([run?.run, run?.scores, training?.run, runs.length]);
      if (now === before) return;
      before = now;
      fill(live, training ? h("a.tag.training", { href: `#/runs/${encodeURIComponent(training.run)}` }, "training now") : null);
      const focus = links.contains(document.activeElement) ? document.activeElement.getAttribute("href") : "";
      fill(links, h("a.button.main", { href: `#/train/${encodeURIComponent(system.name)}` }, "Train"),
        run ? h("a.button", { href: `#/runs/${encodeURIComponent(run.run)}` }, "Open") : null,
        run ? ways(system, run).map(([name, address]) => h("a.way", { href: address }, name)) : null);
      if (focus) [...links.children].find((each) => each.getAttribute("href") === focus)?.focus();
      fill(result, measuredHere(system, run, runs));
    },
  };
}

function measuredHere(system, run, runs) {
  const kept = system.result && !/^not measured/.test(system.result) ? h("p.small.soft.kept", h("b", "Measured by the project: "), system.result) : null;
  if (!run) return [h("p.soft", runs.some((each) => !each.shipped) ? "No finished run with a score here yet." : "No run of it here yet. Train it to see what it reaches."), kept];
  const name = first(run.scores), more = Object.keys(run.scores).length - 1;
  return [large(name, run.scores[name]),
    h("p.small", run.shipped ? "measured by " : "your run ", h("a", { href: `#/runs/${encodeURIComponent(run.run)}` }, run.shipped ? "the run that ships" : run.run),
      more > 0 ? h("span.soft", `, with ${more} more: ${Object.keys(run.scores).filter((n) => n !== name).slice(0, 3).map(spoken).join(", ")}${more > 3 ? " …" : ""}`) : null), kept];
}

/** All years on one line, true to scale; a first gap that is longer than all the rest is cut, and says so. */
function axis(systems) {
  const years = systems.map((s) => s.year);
  if (new Set(years).size < 3) return null;
  const last = years[years.length - 1], cut = years[1] - years[0] > (last - years[0]) / 2, start = cut ? years[1] : years[0];
  const place = (year) => (cut && year < start ? 2 : (cut ? 13 : 2) + ((cut ? 80 : 91) * (year - start)) / (last - start));
  const step = last - start > 150 ? 50 : 10, spots = [];
  const ticks = [];
  for (let year = Math.ceil(start / step) * step; year <= last; year += step) ticks.push(year);
  return h("nav.axis", { "aria-label": "Years" }, h("span.rail", { style: cut ? { left: "9%" } : {} }),
    cut ? [h("span.rail.early", { style: { width: "5%" } }), h("span.break", { style: { left: "6.2%" }, "aria-hidden": true }, "∕∕"), h("span.tick", { style: { left: `${place(years[0])}%` } }, String(years[0]))] : null,
    ticks.map((year) => h("span.tick", { style: { left: `${place(year)}%` }, "aria-hidden": true }, String(year))),
    [...systems].reverse().map((system) => {  // from the right: a name stands above those that it would cover
      const at = place(system.year), end = at + 1.8 + system.name.length * .74;
      const row = 1 + Math.max(-1, ...spots.filter((spot) => spot.at < end).map((spot) => spot.row));
      spots.push({ at, row });
      return h("a", { href: "#/", style: { left: `${at}%`, bottom: "31px" }, onclick: (event) => {
        event.preventDefault();
        const card = document.getElementById(`year-${system.name}`);
        card.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
        card.querySelector("a.button")?.focus({ preventScroll: true });
      }, title: `${system.name}, ${system.year}` }, h("i", { style: { height: `${10 + row * 21}px` } }), h("span", system.name));
    }).reverse());
}
