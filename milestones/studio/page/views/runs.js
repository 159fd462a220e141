// Runs: the list, several side by side, and (views/run.js) one run's page.
import { h, fill, choice, digits, span, styles, toast, SERIES } from "../dom.js";
import { get, post, events } from "../api.js";
import { chart } from "../chart.js";
import { figures, first, interval, spoken } from "../scores.js";

export const title = "Runs";
const HEADS = [["run", "Run"], ["system", "System"], ["state", "State"], ["score", "Score"], ["step", "Steps"], ["seconds", "Took"], ["seed", "Seed"], ["began", "Began"]];

export async function open(root, words, params, shell) {
  await Promise.all([styles("runs"), styles("scores")]);
  if (words[0]) return (await import("./run.js")).open(root, words[0], params, shell);
  return list(root, params, shell);
}

async function list(root, params, shell) {
  let runs = await get("runs"), order = params.get("by") || "began", up = params.get("up") === "1", shown = [];
  const chosen = new Set((params.get("runs") || "").split(",").filter(Boolean)), rows = new Map();
  const find = h("input", { type: "search", value: params.get("find") || "", placeholder: "name, setting, state", "aria-label": "Find runs", oninput: paint });
  const system = choice([["", "all systems"]], "", paint), state = choice([["", "all states"]], "", paint);
  system.setAttribute("aria-label", "System");
  state.setAttribute("aria-label", "State");
  const told = h("p.soft.small", { role: "status" }), body = h("tbody"), none = h("p.soft", { hidden: true });
  const heads = HEADS.map(([name, text]) => h("th", { scope: "col" }, h("button.head", { type: "button", onclick: () => sort(name) }, text, h("span", { "aria-hidden": true }))));
  const all = h("input", { type: "checkbox", "aria-label": "Select all runs of the list", onchange: () => { for (const run of shown) chosen[all.checked ? "add" : "delete"](run.run); changed(); } });
  const sorting = choice(HEADS.map(([name, text]) => [name, `by ${text.toLowerCase()}`]), order, (name) => sort(name));
  sorting.setAttribute("aria-label", "Sort");
  const acts = h("div.row.acts", { role: "group", "aria-label": "For the selected runs" }), trash = h("details.trash"), side = beside(shell);
  fill(root, h("div.row.spread", h("h1", "Runs"), h("a.button.main", { href: "#/train/" }, "Train another")),
    h("div.row.filters", find, system, state, h("span.narrow", sorting), told),
    h("div.scroll.list", { tabIndex: 0, role: "region", "aria-label": "List of runs" }, h("table.runs", h("thead", h("tr", h("th", all), heads)), body)), none, acts, side.node, trash);

  function sort(name) {
    up = order === name ? !up : ["run", "system", "state"].includes(name);
    order = name;
    sorting.value = name;
    paint();
  }

  /** The list as it is now; rows stay the same elements, so that focus and selection stay. */
  function paint() {
    for (const [select, name, text] of [[system, "system", "all systems"], [state, "state", "all states"]]) {
      const values = [...new Set(runs.map((run) => run[name]))].sort(), kept = select.dataset.kept ?? params.get(name) ?? "";
      if (select.dataset.all !== String(values)) {
        const value = select.options.length > 1 ? select.value : kept;
        fill(select, h("option", { value: "" }, text), values.map((v) => h("option", { value: v }, v)));
        select.dataset.all = String(values);
        select.value = values.includes(value) ? value : "";
      }
    }
    const want = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = runs.filter((run) => (!system.value || run.system === system.value) && (!state.value || run.state === state.value)
      && want.every((word) => `${run.run} ${run.system} ${run.state} ${run.preset} ${run.command}`.toLowerCase().includes(word)));
    const key = { run: (r) => r.run.replace(/\d+$/, (n) => n.padStart(9, "0")), score: (r) => r.scores[first(r.scores)]?.value, step: (r) => r.step, seconds: (r) => r.seconds }[order] || ((r) => r[order]);
    shown.sort((a, b) => { const [x, y] = [key(a), key(b)]; return x == null ? 1 : y == null ? -1 : (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1); });
    for (const run of runs) {
      if (!rows.has(run.run)) rows.set(run.run, row(run.run));
      rows.get(run.run).paint(run);
    }
    const focus = document.activeElement, wanted = shown.map((run) => rows.get(run.run).node);
    wanted.forEach((node, i) => { if (body.children[i] !== node) body.insertBefore(node, body.children[i] || null); });
    while (body.children.length > wanted.length) body.lastChild.remove();  // never emptied: the list keeps its place
    if (body.contains(focus) && document.activeElement !== focus) focus.focus({ preventScroll: true });
    for (const id of rows.keys()) if (!runs.some((run) => run.run === id)) { rows.delete(id); chosen.delete(id); }
    heads.forEach((head, i) => {
      const on = HEADS[i][0] === order;
      if (on) head.setAttribute("aria-sort", up ? "ascending" : "descending"); else head.removeAttribute("aria-sort");
      head.querySelector("span").textContent = on ? (up ? " ▲" : " ▼") : "";
    });
    none.hidden = shown.length > 0;
    none.textContent = runs.length ? "No run fits. Change the words or the choice above." : "No runs yet. Train a system, and it appears here.";
    told.textContent = `${shown.length === runs.length ? runs.length : `${shown.length} of ${runs.length}`} run${runs.length === 1 ? "" : "s"}`;
    changed();
  }

  function row(id) {
    const tick = h("input", { type: "checkbox", "aria-label": `Select ${id}`, onchange: () => { chosen[tick.checked ? "add" : "delete"](id); changed(); } });
    const cells = Object.fromEntries(HEADS.map(([name, text]) => [name, h("td", { "data-label": text })]));
    const node = h("tr", h("td.tick", tick), Object.values(cells)), link = h("a", { href: `#/runs/${encodeURIComponent(id)}` }, id);
    const tag = h("span.tag"), found = h("span.tag.found", { hidden: true });
    cells.run.append(link);
    cells.state.append(tag, found);
    const set = (name, text) => { if (cells[name].textContent !== text) cells[name].textContent = text; };
    return {
      node, tick,
      paint(run) {
        const name = first(run.scores), score = run.scores[name];
        set("system", `${run.system}${run.preset && run.preset !== "quick" ? ` · ${run.preset}` : ""}`);
        if (tag.textContent !== run.state) { tag.textContent = run.state; tag.className = `tag ${run.state}`; }
        found.hidden = !run.findings.length;
        found.textContent = `${run.findings.length} finding${run.findings.length === 1 ? "" : "s"}`;
        set("score", score ? `${figures(score).value} ${score.unit}${name === "error" ? "" : ` ${spoken(name)}`}` : "–");
        set("step", run.total && run.total !== run.step ? `${digits(run.step)} of ${digits(run.total)}` : digits(run.step));
        set("seconds", span(run.seconds));
        set("seed", run.seed == null ? "–" : String(run.seed));
        set("began", run.began ? new Date(run.began * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "–");
      },
    };
  }

  let last = "";
  /** What follows the selection: ticks, actions, comparison, address. */
  function changed() {
    for (const [id, { tick, node }] of rows) { tick.checked = chosen.has(id); node.classList.toggle("on", tick.checked); }
    const picked = runs.filter((run) => chosen.has(run.run)), count = shown.filter((run) => chosen.has(run.run)).length;
    all.checked = count > 0 && count === shown.length;
    all.indeterminate = count > 0 && count < shown.length;
    const query = new URLSearchParams(Object.entries({ runs: picked.map((run) => run.run).join(","), find: find.value, system: system.value, state: state.value, by: order === "began" ? "" : order, up: up ? "1" : "" }).filter(([, v]) => v));
    shell.address(`#/runs${query.size ? `?${query}` : ""}`);
    const now = JSON.stringify(picked.map((run) => [run.run, run.state]));
    if (now !== last) {
      last = now;
      const held = acts.contains(document.activeElement) ? document.activeElement.textContent : "";
      fill(acts, picked.length ? actions(picked, shell, refresh, true) : h("p.soft.small", "Select runs to compare their curves, settings and scores."));
      if (held) [...acts.children].find((each) => each.textContent === held)?.focus();
    }
    side.show(picked);
  }

  async function refresh() { runs = await get("runs"); paint(); await bin(); }
  async function bin() {
    const gone = await get("trash"), was = trash.open;
    trash.hidden = !gone.length;
    fill(trash, h("summary", `Deleted (${gone.length})`), h("p.soft.small", "They lie where the list says and are never erased by the studio. To free the space, delete these folders yourself."),
      h("ul.plain", gone.map((item) => h("li.row", h("b", item.run), h("code", item.where), h("span.soft.small", new Date(item.deleted * 1000).toLocaleString()),
        shell.me.role === "owner" && h("button", { type: "button", onclick: () => restore(item.id, shell, refresh) }, "Restore")))));
    trash.open = was;
  }
  paint();
  bin().catch((problem) => shell.say(problem.message));
  const source = events({ onRuns: (now) => { runs = now; paint(); side.renew(); }, onLink: shell.link });
  return () => { source.close(); side.close(); };
}

async function restore(id, shell, done) {
  try {
    const { run } = await post(`trash/${id}/restore`);
    toast(`${run} is back.`);
    await done?.();
  } catch (problem) { shell.say(problem.message); }
}

/** Buttons for one or several runs. */
export function actions(picked, shell, done, many = false) {
  const owner = shell.me.role === "owner", mine = picked.filter((run) => !run.shipped), free = mine.filter((run) => !["training", "starting", "scoring"].includes(run.state));
  const rest = picked.filter((run) => ["stopped", "killed", "failed"].includes(run.state) && !run.shipped), count = (list) => (many && list.length > 1 ? ` (${list.length})` : "");
  async function each(list, ask) {
    for (const run of list) {
      try { await ask(run); } catch (problem) { shell.say(problem.message); }
    }
    await done?.();
  }
  return [
    picked.length === 1 && h("a.button", { href: many ? `#/runs/${encodeURIComponent(picked[0].run)}` : `/api/runs/${encodeURIComponent(picked[0].run)}/report`, ...(many ? {} : { target: "_blank", rel: "noopener" }) }, many ? "Open" : "Report in a new tab"),
    h("button", { type: "button", onclick: () => picked.forEach((run, i) => setTimeout(() => h("a", { href: `/api/runs/${encodeURIComponent(run.run)}/zip`, download: "" }).click(), 400 * i)) }, `Export as zip${count(picked)}`),
    owner && rest.length ? h("button", { type: "button", onclick: () => each(rest, async (run) => { await post(`runs/${encodeURIComponent(run.run)}/resume`); toast(`${run.run} goes on.`); }) }, `Resume${count(rest)}`) : null,
    owner && mine.length ? h("button", { type: "button", disabled: !free.length, title: free.length ? "" : "A run that trains cannot be deleted", onclick: async () => {
      const gone = [];
      await each(free, async (run) => { gone.push(await post(`runs/${encodeURIComponent(run.run)}/delete`)); });
      if (gone.length) toast(gone.length > 1 ? `${gone.length} runs were moved to ${gone[0].where.split("/").slice(0, -2).join("/")}` : `${gone[0].run} was moved to ${gone[0].where}`,
        ["Undo", async () => { for (const { id } of gone) await restore(id, shell, gone.length > 1 ? null : done); if (gone.length > 1) await done?.(); }]);
    } }, `Delete${count(free)}`) : null,
  ].filter(Boolean);
}

/** Curves of runs on one chart, with a choice of the quantity and of the axis; a zoom asks for its range. */
export function curves(height = 340) {
  let names = [], name = "", over = "step", runs = [], colour = () => null, turn = 0, coarse = null, zoom = null, ready = null, timer;
  const quantity = choice([], "", (value) => { name = value; load(); }), axis = choice([["step", "steps"], ["seconds", "seconds"]], "step", (value) => { over = value; load(); });
  quantity.setAttribute("aria-label", "Quantity");
  axis.setAttribute("aria-label", "Horizontal axis");
  const log = h("input", { type: "checkbox", onchange: () => plot.scale({ logy: log.checked }) }), note = h("p.soft.small", { role: "status" }), place = h("div");
  const bar = h("div.row", quantity, h("span.soft", "over"), axis, h("label.row", log, "logarithmic")), node = h("section.curves", bar, place, note);
  const plot = chart(place, { xlabel: "step", ylabel: "loss", height, onzoom: (range) => { zoom = range; clearTimeout(timer); if (range) timer = setTimeout(fine, 150); else if (coarse) draw(coarse); } });
  const ask = (range) => get(`curves?${new URLSearchParams({ runs: runs.join(","), name, over, ...(range && { low: range[0], high: range[1] }) })}`);
  const label = (curve, several) => curve.run + (several && curve.stage ? ` · ${curve.stage}` : "");

  async function load() {
    const mine = ++turn;
    if (!runs.length) return;
    name ||= "loss";
    const [told] = await Promise.all([ask(), ready]);
    if (mine !== turn) return;
    if (!told.curves.length && told.names.length && !told.names.includes(name)) { name = told.names.includes("loss") ? "loss" : told.names[0]; return load(); }
    names = told.names;
    const offered = names.includes(name) ? names : [name, ...names];
    if (quantity.dataset.all !== String(offered)) {
      fill(quantity, offered.map((each) => h("option", { value: each }, spoken(each))));
      quantity.dataset.all = String(offered);
    }
    quantity.value = name;
    bar.hidden = place.hidden = !told.curves.length;
    plot.name(over === "step" ? "step" : "seconds", spoken(name));
    coarse = told;
    if (zoom) fine(); else draw(told);
  }

  /** The zoomed range in its own lines, between those that were there. */
  async function fine() {
    if (!zoom || !coarse?.thinned.length) { if (coarse) draw(coarse); return; }
    const mine = turn, range = zoom, told = await ask(range);
    if (mine !== turn || !zoom) return;
    const keep = coarse.x.map((x) => x < range[0] || x > range[1]), before = coarse.x.filter((x) => x < range[0]).length, key = (c) => `${c.run}|${c.stage}`;
    const mix = (a, b) => { const out = a.filter((_, i) => keep[i]); out.splice(before, 0, ...b); return out; };
    draw({ ...coarse, x: mix(coarse.x, told.x), thinned: told.thinned, curves: coarse.curves.map((curve) => {
      const found = told.curves.find((each) => key(each) === key(curve));
      return { ...curve, y: mix(curve.y, found ? found.y : told.x.map(() => null)) };
    }) });
  }

  function draw(told) {
    const stages = new Set(told.curves.map((curve) => curve.stage)).size > 1;
    plot.set(told.curves.map((curve, i) => ({ label: label(curve, stages), x: told.x, y: curve.y, color: colour(curve.run) || SERIES[i % SERIES.length] })));
    const missing = runs.length - new Set(told.curves.map((curve) => curve.run)).size;
    note.textContent = [!told.curves.length ? "No curves: the log has none, or does not come with the run." : "",
      told.curves.length && missing ? `${missing} of the runs ha${missing === 1 ? "s" : "ve"} no ${spoken(name)}.` : "",
      told.thinned.length ? "Thinned: of a long log about a thousand points are drawn, the lowest and highest of each stretch of what was read. Zoom in for more." : ""].filter(Boolean).join(" ");
    node.dataset.drawn = String(told.curves.length);
  }
  return {
    node, reload: () => load().catch((problem) => { note.textContent = problem.message; }),
    show(ids, colours, asked) { colour = colours || (() => null); ready = asked; if (String(ids) !== String(runs)) { runs = ids; zoom = null; coarse = null; return this.reload(); } },
    close() { turn++; clearTimeout(timer); plot.close(); },
  };
}

/** The selected runs beside each other. */
function beside(shell) {
  const graph = curves(), settings = h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Settings and scores" }), node = h("section.beside", { hidden: true }, h("h2", "Side by side"), graph.node, settings);
  let before = "", states = "", turn = 0, picked = [];
  const stamp = () => picked.map((run) => run.state + run.step).join();
  async function show(runs) {
    picked = runs;
    const now = runs.map((run) => run.run).join(",");
    node.hidden = !runs.length;
    if (now === before) return;
    before = now;
    states = stamp();
    const mine = ++turn;
    if (!now) return;
    try {
      let colours = new Map();
      const asked = get(`compare?${new URLSearchParams({ runs: now })}`);
      const drawn = graph.show(runs.map((run) => run.run), (run) => colours.get(run), asked), told = await asked;
      if (mine !== turn) return;
      colours = new Map(told.groups.flatMap((group, i) => group.runs.map((run) => [run, SERIES[(told.groups.length > 1 ? i : group.runs.indexOf(run)) % SERIES.length]])));
      fill(settings, table(told, colours));
      await drawn;
    } catch (problem) { shell.say(problem.message); }
  }
  return {
    node, show,
    /** After a change of the list: what trains is drawn again, what has ended since is compared again. */
    renew() {
      const now = stamp();
      if (now === states) return;
      states = now;
      if (picked.some((run) => run.state === "training")) graph.reload();
      else { before = ""; show(picked); graph.reload(); }
    },
    close() { turn++; graph.close(); },
  };
}

function table({ groups, differ, names }, colours) {
  const cell = (score) => {
    if (!score) return "–";
    if (score.mean == null) return [h("b.num", `${figures(score).value} ${score.unit}`), h("br"), h("span.small.soft", interval(score))];
    const { mean, sd } = score, { value } = figures({ value: mean, low: mean - sd, high: mean + sd });
    return [h("b.num", `${value} ${score.unit}`), h("span.small", ` ± ${digits(sd, 2)}`), h("br"),
      h("span.small.soft", `mean and spread of ${score.n} seeds; interval of the mean ${interval({ ...score, value: mean, low: score.values.some((v) => v < 0) ? score.low : Math.max(0, score.low) })}`)];
  };
  const shared = (name) => groups.filter((group) => group.settings[name] != null).length > 1;  // of several systems: what they share
  differ = differ.filter((name) => groups.length < 3 || shared(name));
  return h("table.compare", h("caption.visually-hidden", "Settings that differ, and scores with their 95 % intervals"),
    h("thead", h("tr", h("th", { scope: "col" }, "Runs"), differ.map((name) => h("th", { scope: "col" }, spoken(name))), names.map((name) => h("th", { scope: "col" }, spoken(name))), h("th", { scope: "col" }, "Took"))),
    h("tbody", groups.map((group) => h("tr", h("th", { scope: "row" }, groups.length > 1 && h("i.swatch", { style: { background: `var(${colours.get(group.runs[0])})` }, "aria-hidden": true }), label(group.runs)),
      differ.map((name) => h("td", { "data-label": spoken(name) }, [null, undefined, ""].includes(group.settings[name]) ? "–" : String(group.settings[name]))),
      names.map((name) => h("td", { "data-label": spoken(name) }, cell(group.scores[name]))), h("td", { "data-label": "Took" }, span(group.seconds))))));
}

function label(given) {
  const runs = [...given].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  return runs.length === 1 ? h("a", { href: `#/runs/${encodeURIComponent(runs[0])}` }, runs[0])
    : h("span", `${runs[0]} … ${runs[runs.length - 1]}`, h("br"), h("span.small.soft", `${runs.length} runs, equal but for the seed`));
}
