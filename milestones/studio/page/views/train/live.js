// One run: its curves as they grow, its samples, what the doctor says, and what can be done with it.
import { h, fill, choice, digits, span } from "../../dom.js";
import { get, post, events } from "../../api.js";
import { chart } from "../../chart.js";
import { Log, charts } from "./curves.js";
import { samples } from "./samples.js";
import { about, command, source } from "./parts.js";
import { write } from "./knobs.js";

const TRAINS = ["training", "starting", "scoring"];
const SURE = { certain: "Certain", likely: "Likely", possible: "Possible" };
const STATE = { stopped: "paused", killed: "ended without a word" };

export async function live(root, run, params, shell) {
  const at = encodeURIComponent(run), owner = shell.me.role === "owner";
  let now = await get(`runs/${at}`), listed = [], closed = false;
  const system = await get(`systems/${encodeURIComponent(now.system)}`).catch(() => null);
  const logs = new Map([[run, new Log()]]), plots = new Map();
  let axes = { logy: params.get("log") === "1" }, ticket = params.get("ticket") || "";

  // ---- the parts, made once
  const tag = h("span.tag"), bar = h("progress", { max: 1, value: 0, "aria-label": "Training done" });
  const where = h("p.num.now"), facts = h("dl.facts"), buttons = h("div.row"), said = h("div", { "aria-live": "polite" });
  const plotted = h("div.plots"), waiting = h("p.soft.waiting", "The first point of the curves comes after the first steps."), chips = h("div.row");
  const doctor = h("ul.doctor"), doctorCard = h("section.card", h("h2", "What the doctor finds"), doctor);
  const scores = h("div"), shows = samples(run), repeated = command("The command that repeats it");
  const log = h("button", { type: "button", "aria-pressed": String(axes.logy), onclick: () => {
    axes = { logy: !axes.logy };
    log.setAttribute("aria-pressed", String(axes.logy));
    for (const { plot } of plots.values()) plot.scale(axes);
    keep();
  } }, "Logarithmic");
  const other = h("select", { "aria-label": "Compare with another run", onchange: () => { const chosen = other.value; other.value = ""; if (chosen) compare(chosen); } });

  function keep() {
    const query = new URLSearchParams(), others = [...logs.keys()].slice(1);
    if (axes.logy) query.set("log", "1");
    if (others.length) query.set("with", others.join(","));
    shell.address(`#/train/${encodeURIComponent(now.system)}/${at}${String(query) ? `?${query}` : ""}`);
  }

  // ---- numbers as rows come; curves, which cost much more, a thirtieth of the time: training needs the machine
  let asked = false, due = 0, later = 0;
  function redraw() {
    if (asked || closed) return;
    asked = true;
    setTimeout(() => requestAnimationFrame(() => {
      asked = false;
      if (closed) return;
      numbers();
      const begin = performance.now();
      if (begin >= due) {
        lines();
        due = begin + Math.min(4000, 30 * (performance.now() - begin));
      } else {
        clearTimeout(later);
        later = setTimeout(redraw, due - begin);
      }
    }), 50);
  }
  function lines() {
    const found = charts([...logs]);
    waiting.hidden = found.size > 0;
    for (const [key, given] of found) {
      if (!plots.has(key)) {
        const node = h("div.card.plot", h("h3", key.replaceAll("_", " ")));
        plotted.append(node);
        const unit = /error|accuracy/.test(key) ? ", %" : "";
        plots.set(key, { node, plot: chart(node, { xlabel: "step", ylabel: key.replaceAll("_", " ") + unit, ...axes, height: plots.size ? 230 : 300 }) });
      }
      plots.get(key).plot.set(given);
    }
    for (const [key, { node, plot }] of plots) if (!found.has(key)) { plot.close(); node.remove(); plots.delete(key); }
  }
  async function load(name) {  // the whole log, from its beginning
    const { rows, offset } = await get(`runs/${encodeURIComponent(name)}/log`);
    if (closed || !logs.has(name)) return;
    logs.get(name).clear();
    logs.get(name).add(rows);
    heard?.follow(name, offset);
    redraw();
  }
  async function compare(name) {
    if (logs.has(name)) return;
    logs.set(name, new Log());
    listOthers();
    keep();
    await load(name).catch((problem) => { logs.delete(name); shell.say(problem.message); });
  }
  function listOthers() {
    const rest = listed.filter((one) => !logs.has(one.run) && !(one.shipped));
    rest.sort((a, b) => (b.system === now.system) - (a.system === now.system));
    if (document.activeElement !== other) fill(other, h("option", { value: "" }, "Compare with…"), rest.map((one) => h("option", { value: one.run }, one.run)));
    other.hidden = !rest.length;
    fill(chips, [...logs.keys()].slice(1).map((name, i) => h("span.tag.chip", h("i", { style: { background: `var(--s${2 + (i % 7)})` } }), h("a", { href: `#/train/${encodeURIComponent(name.replace(/-\d+$/, ""))}/${encodeURIComponent(name)}` }, name),
      h("button", { type: "button", "aria-label": `Remove ${name}`, onclick: () => { logs.delete(name); heard.unfollow(name); listOthers(); keep(); redraw(); } }, "×"))));
  }

  // ---- numbers, buttons, sentences
  function numbers() {
    const mine = logs.get(run), last = mine.last, trains = TRAINS.includes(now.state);
    const same = !now.stage || !last || last.stage === now.stage;
    const step = Math.max(same ? now.step || 0 : 0, last && same ? last.step : 0) || last?.step || now.step || 0, total = now.total || 0;
    tag.textContent = STATE[now.state] || now.state;
    tag.className = `tag ${now.state}`;
    if (trains && !total) bar.removeAttribute("value");
    else { bar.max = total || 1; bar.value = now.state === "finished" ? bar.max : Math.min(step, bar.max); }
    where.textContent = now.state === "scoring" ? "Scoring" : [now.stage && now.stage !== "train" ? `${now.stage}, ` : "", `${now.stage && now.stage !== "train" ? "step" : "Step"} ${digits(step)}`, total ? ` of ${digits(total)}` : ""].join("");
    const pace = mine.pace, left = trains && pace && total ? (total - step) / pace : null;
    const values = [["Time left", now.state === "training" ? span(left) : null], ["So far", span(Math.max(now.seconds || 0, last?.seconds || 0))],
      ["Examples a second", now.rate ? digits(Math.round(now.rate)) : null], ["Steps a second", trains && pace ? digits(pace, 3) : null],
      ["Share of the machine’s peak", now.peak_share ? `${digits(now.peak_share, 2)} %` : null], ["Parameters", now.parameters ? digits(now.parameters) : null]];
    for (const name of ["loss", "error", "valid_loss", "valid_error"]) {
      const line = mine.stages.get(last?.stage)?.get(name);
      if (line) values.push([name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase()), digits(line.y.at(-1), 3) + (name.endsWith("error") ? " %" : "")]);
    }
    const kept = values.filter(([, value]) => value != null);
    if (facts.children.length !== kept.length) fill(facts, kept.map(() => h("div", h("dt"), h("dd.num"))));
    kept.forEach((texts, i) => texts.forEach((text, k) => { const node = facts.children[i].children[k]; if (node.textContent !== text) node.textContent = text; }));
  }
  let key = "";
  function state() {
    const wanted = `${now.state} ${now.problem}`;
    numbers();
    if (wanted === key) return;
    key = wanted;
    const act = (name, path, doing, main) => h("button", { class: main ? "main" : "", type: "button", onclick: async (event) => {
      event.target.disabled = true;
      try {
        const told = await post(`runs/${at}/${path}`);
        if (told.ticket) { ticket = told.ticket; follow(); }
        fill(said, h("p.note", doing));
      } catch (problem) { fill(said, h("p.error", { role: "alert" }, problem.message)); event.target.disabled = false; }
    } }, name);
    const focused = buttons.contains(document.activeElement);
    fill(buttons, !owner || now.shipped ? null : now.state === "training" || now.state === "starting"
      ? [act("Pause", "stop", "Saving; it can be resumed at the same step."), act("Finish now", "finish", "It ends after the present step, and is scored.")]
      : ["stopped", "killed"].includes(now.state) ? act("Resume", "resume", "Loading; it goes on where it was saved.", true) : null);
    if (focused) buttons.querySelector("button")?.focus();
    if (now.state === "failed" || now.state === "unreadable") fill(said, h("p.error", { role: "alert" }, now.problem || "The run failed."));
    else if (now.state === "finished" || now.state === "stopped") fill(said);
    if (now.state === "killed" && ticket) words();
    fill(scores, results());
    if (!TRAINS.includes(now.state)) examine();
  }
  async function words() {  // the last that a process said which ended without a status
    const told = await get(`trainings/${ticket}`).catch(() => null);
    if (told?.said.length && told.ended) fill(said, h("p.error", { role: "alert" }, told.said.at(-1)));
  }
  async function follow() {  // a resumed run that cannot begin says so
    for (const mine = ticket; !closed && ticket === mine;) {
      const told = await get(`trainings/${mine}`).catch(() => ({ ended: null, said: [] }));
      if (told.ended === 2) fill(said, h("p.error", { role: "alert" }, told.said.at(-1) || "It did not start."));
      else if (told.ended === null && now.state === "training") fill(said);
      if (told.ended !== null) { key = ""; return; }
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
  function results() {
    const rows = Object.entries(now.scores);
    if (now.state !== "finished") return null;
    const link = (view, text) => h("a.button", { href: `#/${view}/${at}` }, text);
    return h("section.card", h("h2", "Result"),
      rows.length ? h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Scores" }, h("table", h("thead", h("tr", ["Score", "Measured", "95 % interval", "On", "Published"].map((c) => h("th", { scope: "col" }, c)))),
        h("tbody", rows.map(([name, s]) => h("tr", h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td.num", `${digits(s.value)} ${s.unit}`),
          h("td.num", `${digits(s.low, 3)} to ${digits(s.high, 3)}`), h("td", `${s.data}, ${s.split} (${digits(s.over)})`),
          h("td", s.paper == null ? "–" : `${digits(s.paper)} ${s.unit}${s.paper_data === s.data ? "" : " on other data; not comparable"}`)))))) : null,
      h("div.row.next", system?.takes.length ? link("use", "Use it") : null, link("look", "Look inside"), system?.probe ? link("attack", "Attack it") : null,
        h("a.button", { href: `/api/runs/${at}/report`, target: "_blank", rel: "noopener" }, "Report")));
  }
  let seen = -1, next = 0, running = false;
  async function examine() {
    running = true;
    const begin = performance.now(), found = await get(`runs/${at}/doctor`).catch(() => []);
    next = performance.now() + Math.max(4000, 40 * (performance.now() - begin));
    running = false;
    if (closed) return;
    seen = logs.get(run).vitals;
    const text = (one) => `${SURE[one.sure] || one.sure}: ${one.says}. ${one.do}.`;
    const shown = [...doctor.children].map((node) => node.textContent).join("\n");
    const wanted = found.length ? found.map(text) : [TRAINS.includes(now.state) && !seen ? "It has not looked yet." : now.state === "finished" ? "Nothing wrong was found." : "Nothing wrong so far."];
    if (shown !== wanted.join("\n")) fill(doctor, found.length ? found.map((one) => h("li", { class: one.sure }, h("b", `${SURE[one.sure] || one.sure}: `), `${one.says}. `, h("em", `${one.do}.`))) : h("li.soft", wanted[0]));
  }
  let fresh = false;
  async function refresh() {  // all but the curves
    if (fresh) return;
    fresh = true;
    try {
      const found = await get(`runs/${at}`);
      if (!closed) { now = found; shows.set(now.shows); state(); }
    } catch (problem) {
      if (!closed && !/fetch/i.test(problem.message)) fill(said, h("p.error", { role: "alert" }, problem.message));
    } finally { setTimeout(() => { fresh = false; }, 900); }
  }

  // ---- the page
  const again = new URLSearchParams(now.preset && now.preset !== "quick" ? [["preset", now.preset]] : []);
  for (const [knob, value] of Object.entries(now.config.config || {})) {
    const usual = system?.presets[now.preset]?.[knob];
    if (JSON.stringify(usual) !== JSON.stringify(value)) again.set(knob, write(value));
  }
  if (now.seed) again.set("seed", now.seed);
  repeated.set(now.command);
  fill(root,
    h("div.heading", h("a.small", { href: `#/train/${encodeURIComponent(now.system)}?${again}` }, "Change settings and train again"),
      h("div.row", h("h1", run.replace("shipped:", "")), tag), h("p.lead", now.config.about?.title || system?.title || "")),
    h("div.live",
      h("div.stack",
        h("section.card.status", h("div.row.spread", where, buttons), bar, facts, said),
        scores,
        h("section.stack", h("div.row.spread", h("h2", "Curves"), h("div.row", chips, other, log)), waiting, plotted),
        shows.node),
      h("div.stack", doctorCard, h("section.card", repeated.node),
        system ? h("section.card", h("h2", `${system.name}${system.year ? `, ${system.year}` : ""}`), about(system), source(system.source, system.name)) : null)));
  shows.set(now.shows);

  let heard = null;
  heard = events({
    onRuns(list) {
      listed = list;
      const line = list.find((one) => one.run === run);
      if (line) { Object.assign(now, line); state(); refresh(); }
      listOthers();
    },
    onRows(name, rows, restarted) {
      const mine = logs.get(name);
      if (!mine) return;
      if (restarted) mine.clear();
      if (!mine.add(rows)) { load(name).catch(() => {}); return; }
      redraw();
      if (name === run && mine.vitals > seen && !running && performance.now() > next) examine();
    },
    onLink(on, anew) {
      shell.link(on);
      if (anew) { for (const name of logs.keys()) load(name).catch(() => {}); refresh(); }
    },
  });
  await load(run);
  state();
  if (TRAINS.includes(now.state)) examine();
  for (const name of (params.get("with") || "").split(",").filter(Boolean).slice(0, 20)) await compare(name);
  return () => { closed = true; heard.close(); for (const { plot } of plots.values()) plot.close(); };
}
