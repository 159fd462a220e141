// One run: its scores, curves, samples, findings, settings, the command that repeats it, and where to go on.
import { h, fill, digits, span, toast } from "../dom.js";
import { get, events } from "../api.js";
import { draw } from "../media.js";
import { large, spoken, ways } from "../scores.js";
import { actions, curves } from "./runs.js";

export async function open(root, id, params, shell) {
  let run = await get(`runs/${encodeURIComponent(id)}`);
  const system = (await get("timeline")).find((each) => each.name === run.system);
  document.title = `${id} · milestones`;
  const tag = h("span.tag"), line = h("p.soft"), findings = h("div"), buttons = h("div.row"), facts = h("dl.facts"), scores = h("div.scores"), progress = h("progress", { max: 1, "aria-label": "Progress" });
  const graph = curves(300), gallery = samples(id), report = h("details", { ontoggle: () => { if (report.open && !report.querySelector("iframe")) framed(); } }, h("summary", "Report"));
  const sections = { scores: h("section.card", h("h2", "Scores"), scores), samples: h("section.card", h("h2", "Samples"), gallery.node) };
  fill(root, h("div.run-head", h("p", h("a", { href: "#/runs" }, "All runs")), h("div.row", h("h1", run.shipped ? `${run.system}, the run that ships` : id), tag), line, progress, findings, buttons),
    h("div.stack", h("div.two", sections.scores, h("section.card", h("h2", "How it went"), facts)),
      h("section.card", h("h2", "Curves"), graph.node), sections.samples,
      h("div.two", h("section.card", h("h2", "Command"), h("p.soft.small", "This repeats the run, to the same figures on this machine."), copied(run.command)),
        h("section.card", h("h2", "Plan"), h("p", run.report.plan || run.plan.words || "not measured"), tried(run.plan))),
      h("section.card", h("h2", "Settings"), listing({ ...run.config.choice, ...run.config.config })),
      h("section.card", report)));

  function framed() {
    report.append(h("iframe.report", { src: `/api/runs/${encodeURIComponent(id)}/report`, title: `Report of ${id}`, sandbox: "" }));
  }

  let drawn = "";
  function paint() {
    if (tag.textContent !== run.state) { tag.textContent = run.state; tag.className = `tag ${run.state}`; }
    const title = system ? system.title : run.system;
    line.textContent = [title, run.preset && `preset ${run.preset}`, run.seed != null && `seed ${run.seed}`, run.problem].filter(Boolean).join(" · ");
    const live = run.state === "training" && run.total;
    progress.hidden = !live;
    if (live) progress.value = run.step / run.total;
    const now = JSON.stringify([run.state, run.scores, run.findings, run.report.ended]);
    if (now !== drawn) {
      drawn = now;
      fill(findings, run.findings.map((one) => h("p.note.finding", h("b", `${one.sure || "note"}: `), `${one.says}. `, one.do ? `${one.do}.` : "")));
      const held = buttons.contains(document.activeElement) ? document.activeElement.textContent : "";
      fill(buttons, run.state === "finished" ? ways(system || {}, run).map(([name, address]) => h("a.button", { href: address }, name)) : null,
        live ? h("a.button.main", { href: `#/train/${encodeURIComponent(run.system)}?run=${encodeURIComponent(id)}` }, "Watch it train") : null,
        actions([run], { ...shell, say: shell.say }, refresh).map((node) => (node.href && !run.reported ? (node.hidden = run.state !== "finished", node) : node)));
      if (held) [...buttons.children].find((each) => each.textContent === held)?.focus();
      const names = Object.keys(run.scores);
      sections.scores.hidden = !names.length;
      sections.scores.classList.toggle("wide", names.length > 2);
      fill(scores, names.map((name) => large(name, run.scores[name])));
      report.parentElement.hidden = !(run.state === "finished" && !run.shipped);
    }
    const told = { Steps: run.total && run.total !== run.step ? `${digits(run.step)} of ${digits(run.total)}` : digits(run.step), Took: span(run.seconds), Speed: run.rate ? `${digits(run.rate)} examples/s` : "",
      "Of this machine's peak": run.peak_share ? `${digits(run.peak_share, 2)} %` : "", Parameters: run.parameters ? digits(run.parameters) : "",
      Data: run.report.data?.name ? `${run.report.data.name}, ${digits(run.report.data.train)} to train` : "", Began: run.began ? new Date(run.began * 1000).toLocaleString() : "",
      Machine: run.report.versions?.machine || "", Lies: run.lies };
    fill(facts, Object.entries(told).filter(([, value]) => value).map(([name, value]) => h("div", h("dt", name), h("dd", value))));
    sections.samples.hidden = !run.shows.length;
    gallery.paint(run.shows);
  }

  async function refresh() {
    if (!(await get("runs")).some((each) => each.run === id)) { shell.go("#/runs"); return; }  // it was deleted
    run = await get(`runs/${encodeURIComponent(id)}`);
    paint();
  }

  paint();
  if (params.get("report")) report.open = true;
  await graph.show([id]);
  let before = "";
  const source = events({ onRuns: (list) => {
    const now = list.find((each) => each.run === id), key = JSON.stringify(now);
    if (!now || key === before) return;
    if (before) { refresh(); graph.reload(); }
    before = key;
  }, onLink: shell.link });
  return () => { source.close(); graph.close(); };
}

function copied(command) {
  if (!command) return h("p.soft", "The run does not say.");
  return h("div.copy", h("pre", command), h("button", { type: "button", onclick: async () => {
    try { await navigator.clipboard.writeText(command); toast("Copied."); } catch { toast("The browser does not let the page copy; select the text."); }
  } }, "Copy"));
}

function tried(plan) {
  if (!plan.tried?.length) return null;
  return h("details", h("summary", `${plan.tried.length} way${plan.tried.length === 1 ? "" : "s"} tried`), h("div.scroll", h("table", h("thead", h("tr", ["Memory", "Precision", "Threads", "Examples/s"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", plan.tried.map((way) => h("tr", h("td", way.layout), h("td", way.precision), h("td", String(way.threads)), h("td", way.within === false ? "outside the tolerance" : digits(way.rate))))))));
}

function listing(values) {
  return h("dl.facts", Object.entries(values).filter(([, value]) => value !== "").map(([name, value]) => h("div", h("dt", spoken(name)), h("dd", value === null ? "none" : typeof value === "number" ? digits(value) : String(value)))));
}

/** The samples of a run: each name once, with a slider over its steps. New ones come in place. */
function samples(id) {
  const node = h("div.samples"), made = new Map();
  return { node, paint(shows) {
    const groups = Map.groupBy ? Map.groupBy(shows, (s) => `${s.stage} ${s.name}`) : shows.reduce((m, s) => m.set(`${s.stage} ${s.name}`, [...(m.get(`${s.stage} ${s.name}`) || []), s]), new Map());
    for (const [key, list] of groups) {
      if (!made.has(key)) { made.set(key, sample(id, list[0].name)); node.append(made.get(key).node); }
      made.get(key).paint(list);
    }
  } };
}

function sample(id, name) {
  let list = [], at = -1, shown = "";
  const held = h("div.held"), where = h("span.soft.small"), slide = h("input", { type: "range", min: 0, step: 1, hidden: true, "aria-label": `Step of ${spoken(name)}`, oninput: () => { at = +slide.value; show(); } });
  const node = h("figure.sample", h("figcaption", h("b", spoken(name)), " ", where), slide, held);
  async function show() {
    const item = list[at];
    where.textContent = `${item.stage}, step ${item.step.toLocaleString("en")}`;
    slide.setAttribute("aria-valuetext", where.textContent);
    if (item.file === shown) return;
    shown = item.file;
    const address = `/api/runs/${encodeURIComponent(id)}/shows/${encodeURIComponent(item.file)}`;
    const made = item.file.endsWith(".png") ? h("img", { src: address, alt: `${spoken(name)} at step ${item.step}` })
      : item.file.endsWith(".wav") ? h("audio", { src: address, controls: true })
        : await fetch(address).then((r) => (item.file.endsWith(".json") ? r.json() : r.text())).then((value) => {
          const plain = value && typeof value === "object" && "format" in value && "value" in value ? value.value : value;
          return draw({ value: plain, kind: typeof plain === "string" ? "text" : undefined });
        }).catch(() => h("p.soft", "This sample cannot be read."));
    if (made.decode) await made.decode().catch(() => {});  // the old picture stays until the new one is there
    if (shown === item.file) fill(held, made);
  }
  return { node, paint(now) {
    const end = at < 0 || at === list.length - 1;
    if (now.length === list.length && now.every((item, i) => item.file === list[i].file)) return;
    list = now;
    slide.max = list.length - 1;
    slide.hidden = list.length < 2;
    if (end || at >= list.length) at = list.length - 1;
    slide.value = at;
    show();
  } };
}
