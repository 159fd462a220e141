// Give a run an input of your own, and see what it answers and what each of its layers makes of it.
import { h, fill, field, choice, digits, styles } from "../dom.js";
import { get, desk } from "../api.js";
import { draw } from "../media.js";
import { inputs, strip } from "../inputs.js";
import { maps, enlarged, terms, filters, nameOf } from "../maps.js";

export const title = "Use";

export async function open(root, words, params, shell) {
  await styles("use");
  const runs = (await get("runs")).filter((run) => run.state === "finished" || run.shipped);
  return words[0] ? used(root, words[0], runs, shell) : listed(root, runs);
}

const score = (run) => {
  const [name, first] = Object.entries(run.scores)[0] || [];
  return first && first.value != null ? `${name.replaceAll("_", " ")} ${digits(first.value)} ${first.unit || ""}` : "";
};
const called = (run) => (run.shipped ? `${run.system} (shipped)` : run.run);

/** The runs by system, each with its score. */
function listed(root, runs) {
  const systems = [...new Set(runs.map((run) => run.system))];
  fill(root, h("h1", "Use a trained run"), h("p.lead", "Draw, choose a picture, fill in a row or write: see what a run answers, and how."),
    systems.length ? null : h("p", "There is no run yet. ", h("a", { href: "#/train" }, "Train one")),
    h("div.grid", systems.map((system) => h("section.card", h("h2", system), h("ul.plain", runs.filter((run) => run.system === system).map((run) =>
      h("li", h("a", { href: `#/use/${encodeURIComponent(run.run)}` }, called(run)), h("span.soft.small", ` ${score(run)}`))))))));
}

/** The view of one run. The frame stands at once; the controls come when the run is opened. */
function used(root, id, runs, shell) {
  const run = runs.find((one) => one.run === id);
  const chooser = choice(runs.map((one) => [one.run, `${called(one)}${score(one) ? ` · ${score(one)}` : ""}`]), id, (value) => shell.go(`#/use/${encodeURIComponent(value)}`));
  if (!run) chooser.prepend(h("option", { value: id, selected: true }, id));
  const controls = h("div.stack", h("p.soft", { role: "status" }, "Opening the run …"));
  chooser.setAttribute("aria-label", "Run");
  const right = h("div.stack", h("section.card.answer", { "aria-label": "Answer" }));
  fill(root, h("div.row.spread.head", h("h1", "Use ", h("span", run ? run.system : "a run")), chooser),
    h("div.use", h("section.card.given-in", { "aria-label": "Input" }, controls), right));
  let left = false, leave = null;
  opened(root, id, shell, controls, right).then((closer) => { if (left) closer(); else leave = closer; })
    .catch((failed) => fill(controls, h("p.error", { role: "alert" }, failed.message)));
  return () => { left = true; leave?.(); };
}

async function opened(root, id, shell, controls, right) {
  let closed = false;
  const form = await desk.ask({ do: "form", run: id });
  const answer = root.querySelector(".answer"), status = h("p.visually-hidden", { role: "status", "aria-live": "polite" });
  const hint = form.takes.includes("image") ? "The answer appears here while you draw." : "The answer appears here.";
  const empty = () => h("p.soft", hint);
  const said = h("div.stack", empty()), problem = h("p.error", { role: "alert", hidden: true }), time = h("p.soft.small.num");
  const layers = h("div.layers"), inspector = h("section.card.inspector", { "aria-label": "Under one number", hidden: true });
  const inside = h("section.card", { hidden: true }, h("h2", "Layer by layer"),
    h("p.soft.small", "What each layer puts out: ", h("b.plus", "above 0"), ", ", h("b.minus", "below 0"), ". Click into a map, or choose one with the arrow keys, to see what that number is made of."), layers);
  fill(answer, h("h2", "Answer"), problem, said, time, status);
  right.append(inside);
  root.append(inspector);

  let chosen = null, asking = 0, pixelAsked = false, pixelNext = null;
  const view = maps(layers, (line, spot) => { chosen = { step: line.step, spot }; look(); });

  /** Ask for the terms under the chosen number; while one is asked, only the latest wish waits. */
  async function look() {
    if (!chosen) return;
    if (pixelAsked) { pixelNext = chosen; return; }
    pixelAsked = true;
    const { step, spot } = chosen;
    try {
      const told = await desk.ask({ do: "pixel", run: id, step, at: spot });
      if (!closed) taken(told);
    } catch (failed) { if (!closed) say(failed.message); }
    pixelAsked = false;
    if (pixelNext) { pixelNext = null; look(); }
  }

  function taken(told) {
    const one = view.step(told.step);
    if (!one) return;
    const { line } = one, spot = told.at, named = line.shape.at(-1) === form.labels.length, last = named && line.shape.length === 1;
    const label = (k) => (named ? form.labels[k] : `output ${k + 1}`);
    const unit = line.shape.length === 2 ? "" : last ? `, ${label(spot[0])}` : `, ${line.shape.length === 1 ? "unit" : "map"} ${spot[0] + 1}`;
    const place = line.shape.length > 1 ? `, row ${spot.at(-2) + 1}, column ${spot.at(-1) + 1}` : "";
    const move = (to) => { chosen = { step: told.step, spot: to }; look(); };
    const held = inspector.contains(document.activeElement) && document.activeElement.tagName === "CANVAS";
    const side = (by, words) => h("button.icon", { type: "button", "aria-label": words, onclick: () => move([(chosen.spot[0] + by + line.shape[0]) % line.shape[0], ...chosen.spot.slice(1)]) }, by < 0 ? "‹" : "›");
    inspector.hidden = false;
    const which = document.activeElement?.getAttribute?.("aria-label");
    fill(inspector, h("div.row.spread", h("h2", `${nameOf(line.op)}${unit}${place}`),
      h("div.row", line.shape.length !== 2 && line.shape[0] > 1 ? [side(-1, "The one before"), side(1, "The next one")] : null,
        h("button.icon", { type: "button", "aria-label": "Close", onclick: close }, "×"))),
    h("div.apart", line.shape.length > 1 || told.arrays.weights ? h("div.pair", line.shape.length > 1 ? h("figure", h("figcaption.soft.small", "the map; arrow keys move"), enlarged(one, spot, () => chosen?.spot || spot, move)) : null, filters(told)) : null,
      terms(told, label)));
    if (held) inspector.querySelector("canvas[tabindex]")?.focus({ preventScroll: true });
    else if (which && !document.activeElement?.matches?.("[aria-label]")) inspector.querySelector(`[aria-label="${which}"]`)?.focus({ preventScroll: true });
    view.mark(told.step, spot);
    if (!held) one.canvas.scrollIntoView({ block: "nearest" });
  }
  function close() { chosen = pixelNext = null; inspector.hidden = true; view.mark(null); }

  function say(message) { problem.textContent = message; problem.hidden = !message; }

  let wish = null, busy = false, list = null, truth = "";
  /** What the controls give: the latest wish alone waits while one is asked, never a queue; files of several all wait. */
  function give(wanted) {
    if (!wanted) { wish = null; asking++; clear(); return; }
    if (wanted.many) return batch(wanted);
    list = null;
    truth = wanted.truth || "";
    wish = wanted;
    if (!busy) ask();
  }
  function clear() {
    say("");
    fill(said, empty());
    time.textContent = status.textContent = "";
    inside.hidden = true;
    close();
  }
  const wishOf = (wanted) => ({ do: "maps", run: id, ...wanted.ask, ...(options.size ? { options: Object.fromEntries(options) } : {}), ...(error?.value !== "" && error ? { at_error: +error.value } : {}) });
  async function ask() {
    busy = true;
    while (wish && !closed) {
      const wanted = wish, mine = ++asking;
      last = wanted;
      wish = null;
      try {
        const told = await desk.ask(wishOf(wanted), wanted.payload);
        if (!closed && mine === asking) show(told, wanted);
      } catch (failed) {
        if (!closed && mine === asking && !wish) { say(failed.message); fill(said, empty()); inside.hidden = true; }
      }
    }
    busy = false;
  }
  let last = null;
  const options = new Map();  // that were changed

  function show(told, wanted) {
    say("");
    const given = wanted.file ? thumbnail(wanted.file) : null;
    fill(said, told.items.map((item, i) => h("figure.item", h("figcaption.soft.small", item.name.replaceAll("_", " ")),
      draw(item, told.arrays[item.name], { labels: form.labels, scale: item.kind === "image" ? fitted(told.arrays[item.name]) : 0 }),
      !i && truth ? h("p", "True answer: ", h("b", truth)) : null)), given);
    time.textContent = `${digits(told.ms)} ms${told.needed ? `; it answers where it is at least ${digits(told.needed)} % sure, ${Math.round(told.share)} % of the validation examples` : ""}`;
    inside.hidden = !told.steps.length;
    const seen = told.items.some((item) => item.kind === "image" && told.arrays[item.name].shape.slice(0, 2).join() === told.steps[0]?.shape.slice(-2).join());
    if (told.steps.length) view.set(seen ? { ...told, steps: told.steps.filter((line) => line.step >= 0) } : told);
    if (chosen && view.step(chosen.step)) look();
    if (wanted.live) return;
    const first = told.items[0];
    status.textContent = first ? `Answer: ${first.kind === "ranking" ? `${first.value[0].label}, ${(100 * first.value[0].chance).toFixed(1)} %` : String(first.value?.value ?? first.value).slice(0, 120)}` : "";
    requestAnimationFrame(() => { // after the frame that shows it
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => performance.mark("use:shown");
      port2.postMessage(0);
    });
  }
  const fitted = ({ shape: [height, width] }) => Math.max(.1, Math.min(Math.round(168 / Math.max(height, Math.min(width, 3 * height))) || 168 / height, 8));
  function thumbnail(file) {
    const address = URL.createObjectURL(file);
    return h("figure.item", h("figcaption.soft.small", "your picture"), h("img.given", { src: address, alt: file.name, onload: () => URL.revokeObjectURL(address) }));
  }

  /** Several pictures: a line for each. */
  let queue = Promise.resolve();
  function batch(wanted) {
    if (!list) {
      list = h("tbody");
      clear();
      fill(said, h("div.scroll", h("table", h("thead", h("tr", h("th", { scope: "col" }, "picture"), h("th", { scope: "col" }, "answer"))), list)));
    }
    const here = list, cell = h("td", "…"), open = h("button", { type: "button", onclick: () => give({ ...wanted, many: false }) }, wanted.name);
    here.append(h("tr", h("td", open), cell));
    queue = queue.then(async () => {
      if (closed || here !== list) return;
      try {
        const told = await desk.ask({ ...wishOf(wanted), do: "use" }, wanted.payload), first = told.items[0];
        fill(cell, draw(first, told.arrays[first.name], { most: 1 }));
      } catch (failed) { fill(cell, h("span.bad", failed.message)); }
    });
  }

  const given = await inputs(form, give, say);
  answer.hidden = !given.count;
  const error = form.cautious ? h("input", { type: "number", min: 0, max: 99, step: "any", placeholder: "any", oninput: () => { if (last) give(last); } }) : null;
  const again = () => { if (last) give(last); };
  const knobs = Object.entries(form.options).map(([name, knob]) => field(name.replaceAll("_", " "), option(name, knob, options, again), knob.description));
  const samples = h("div.samples");
  fill(controls, given.count ? given.node : nothing(form, id),
    error && field("Errors at most, %", error, "It says \u201cI don't know\u201d where it is not sure enough for that"), knobs, samples);
  root.querySelector("h1").replaceChildren("Use ", h("span", form.system));
  if (given.count && !form.takes.includes("text")) examples(0);

  /** A page of examples of the run's own test data. */
  async function examples(page) {
    try {
      let told = null;
      await desk.ask({ do: "example", run: id, page, count: 12 }, null, (one) => { if (!one.waiting) told = one; });
      if (closed || !told) return;
      const pages = Math.ceil(told.over / 12), turn = (to, words, sign) => h("button.icon", { type: "button", "aria-label": words, onclick: () => examples((to + pages) % pages) }, sign);
      fill(samples, h("div.row.spread", h("h2", "From its test data"), h("div.row", turn(page - 1, "The examples before", "‹"), turn(page + 1, "More examples", "›"))),
        strip(told, (example) => { if (example.values) { given.show(example); truth = example.truth; } else { given.show(example); give(example); } }), h("p.soft.small", `${told.data}${told.labels.some(Boolean) ? "; with each its true answer" : ""}`));
    } catch (failed) { if (!closed) fill(samples, h("p.soft.small", `No examples: ${failed.message}`)); }
  }
  const repaint = () => { view.recolour(); if (chosen) look(); };
  shell.onTheme.add(repaint);
  return () => { closed = true; shell.onTheme.delete(repaint); given.close(); };
}

/** The control of an option of the page: what differs from its default is put into `told`. */
function option(name, knob, told, again) {
  const put = (value) => { if (String(value) === String(knob.default)) told.delete(name); else told.set(name, value); again(); };
  if (knob.enum) return choice(knob.enum, knob.default, put);
  if (knob.type === "boolean") return h("input", { type: "checkbox", checked: knob.default, onchange: (event) => put(event.target.checked ? "true" : "false") });
  const number = knob.type !== "string";
  return h("input", { type: number ? "number" : "text", value: knob.default, step: knob.type === "integer" ? 1 : "any", onchange: (event) => { if (event.target.value !== "" || !number) put(event.target.value); } });
}

/** What is said of a run that takes no input, or one of a kind that has no controls here. */
function nothing(form, id) {
  return h("div", h("p", form.takes.length ? `This run takes ${form.takes.join(" or ")}, which the command line reads: ` : "This run takes no input: it plays by itself. ",
    form.takes.length ? h("code", `milestones use ${id.replace("shipped:", "")} FILE`) : ""), h("a.button", { href: `#/runs/${encodeURIComponent(id)}` }, "See its samples"));
}
