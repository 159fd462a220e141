// The form of a system, drawn from its Config's schema; its state is in the link.
import { h, fill, field, choice } from "../../dom.js";
import { get, post } from "../../api.js";
import { control, describe, quoted, read, write } from "./knobs.js";
import { about, command, source } from "./parts.js";
import { ownData } from "./data.js";

const RUN = {  // what belongs to a run and not to the system
  seed: { type: "integer", minimum: 0, default: 0, description: "of all randomness", label: "Seed" },
  minutes: { anyOf: [{ type: "number", exclusiveMinimum: 0 }, { type: "null" }], default: null, description: "train no longer than this, then score", label: "Minutes" },
  members: { type: "integer", minimum: 1, maximum: 100, default: 1, description: "nets trained and used as one", label: "Members" },
};

export async function form(root, name, params, shell) {
  const system = await get(`systems/${encodeURIComponent(name)}`);
  const names = Object.keys(system.knobs), owner = shell.me.role === "owner";
  let preset = params.get("preset") in system.presets ? params.get("preset") : "quick" in system.presets ? "quick" : Object.keys(system.presets)[0];
  const base = (knob) => write(system.presets[preset][knob] ?? null);
  const fields = new Map();  // name -> {schema, control, node, wrong, reset}
  const shown = command("The command that does the same"), said = h("div", { "aria-live": "assertive" });
  const start = h("button.main", { type: "button", onclick: begin }, "Train");
  const more = { auto_lr: params.get("auto_lr") === "1", skip_unreadable: params.get("skip_unreadable") === "1" };

  function make(knob, schema, normal, label) {
    const made = control(schema, () => { check(knob); told(); });
    const wrong = h("span.wrong", { id: `wrong-${knob}` }), tip = h("span.hint", { id: `tip-${knob}` });
    fill(tip, schema.description ? `${schema.description}${schema.enum || schema.type === "boolean" ? "" : "; "}` : "", schema.enum || schema.type === "boolean" ? null : h("span.range", describe(schema)));
    made.node.id = `knob-${knob}`;
    made.node.setAttribute("aria-describedby", `${tip.id} ${wrong.id}`);
    const reset = h("button.reset", { type: "button", hidden: true, onclick: () => { made.set(normal()); check(knob); told(); made.node.focus(); } });
    const node = h("div.field.knob", h("div.row.spread", h("label", { htmlFor: made.node.id }, label), reset), made.node, wrong, tip);
    fields.set(knob, { schema, control: made, node, wrong, reset, normal, label });
    made.set(params.get(knob) ?? normal());
    return node;
  }
  function check(knob) {
    const one = fields.get(knob), found = read(one.schema, one.control.get());
    const changed = found.wrong || write(found.value) !== one.normal();
    one.wrong.textContent = found.wrong || "";
    one.control.node.setAttribute("aria-invalid", found.wrong ? "true" : "false");
    one.node.classList.toggle("changed", Boolean(changed));
    one.reset.hidden = !changed;
    one.reset.textContent = `back to ${one.normal() || "none"}`;
    one.reset.setAttribute("aria-label", `${one.label}: back to ${one.normal() || "none"}`);
    return { ...found, changed };
  }
  /** All fields: settings that differ from the preset, options of the run, and the first that is wrong. */
  function collect() {
    const settings = {}, options = {}, query = new URLSearchParams();
    let wrong = null, seed = 0;
    if (preset !== "quick") query.set("preset", preset);
    for (const [knob, one] of fields) {
      const { value, changed, wrong: line } = check(knob);
      if (changed) query.set(knob, one.control.get());
      if (line) wrong ||= one;
      else if (knob === "seed") seed = value;
      else if (knob in RUN) { if (changed && value != null) options[knob] = value; }
      else if (changed) settings[knob] = value;
    }
    const data = own?.found();
    if (data) { options.data = data.id; query.set("data", data.id); }
    if (data?.target) { options.target = data.target; query.set("target", data.target); }
    for (const [option, on] of Object.entries(more)) if (on) { options[option] = true; query.set(option, "1"); }
    return { settings, options, seed, wrong, query, data };
  }
  function told() {
    const { settings, options, seed, query, data } = collect();
    const words = ["milestones", "train", system.page];
    if (preset !== "quick") words.push("--preset", preset);
    if (data) words.push("--data", data.path);
    if (data?.target) words.push("--target", data.target);
    if (options.skip_unreadable) words.push("--skip-unreadable");
    if (options.auto_lr) words.push("--auto-lr");
    for (const option of ["members", "minutes"]) if (option in options) words.push(`--${option}`, String(options[option]));
    words.push("--seed", String(seed));
    for (const [knob, value] of Object.entries(settings)) {
      words.push(`--${knob.replaceAll("_", "-")}`, ...(Array.isArray(value) ? value.map(String) : [value == null ? "none" : String(value)]));
    }
    shown.set(words.map(quoted).join(" "));
    shell.address(`#/train/${encodeURIComponent(name)}${String(query) ? `?${query}` : ""}`);
  }
  async function begin() {
    const { settings, options, seed, wrong } = collect();
    if (wrong) { wrong.control.node.focus(); return fill(said, h("p.error", { role: "alert" }, `${wrong.label}: ${wrong.wrong.textContent}`)); }
    start.disabled = true;
    fill(said, h("p.note", { role: "status" }, "Starting: a process of its own loads PyTorch and prepares the data…"));
    try {
      const { ticket } = await post("trainings", { system: name, preset, settings, seed, options });
      await follow(ticket);
    } catch (problem) { fill(said, h("p.error", { role: "alert" }, problem.message)); }
    start.disabled = false;
  }
  async function follow(ticket) {
    for (;;) {
      const now = await get(`trainings/${ticket}`);
      if (closed) return;
      if (now.run) return shell.go(`#/train/${encodeURIComponent(name)}/${encodeURIComponent(now.run)}?ticket=${ticket}`);
      if (now.ended != null) throw new Error(now.said.at(-1) || "The training ended before its first step, without a word.");
      if (now.said.length) fill(said, h("p.note", { role: "status" }, now.said.at(-1)));
      await new Promise((done) => setTimeout(done, 150));
    }
  }

  const takesData = system.takes.some((kind) => kind === "image" || kind === "row");
  const fits = h("p.note", { hidden: true });
  const own = takesData && owner ? ownData({ id: params.get("data") || "", target: params.get("target") || "", shell, onchange: (data) => {
    const want = data?.kind === "table" ? "row" : "image";
    fits.hidden = !data || system.takes.includes(want);
    fits.textContent = `This system takes ${system.takes.map((kind) => ({ image: "pictures", row: "table rows" })[kind] || kind).join(" or ")}.`;
    if (made) told();
  } }) : null;
  const knobs = names.map((knob) => make(knob, system.knobs[knob], () => base(knob), knob.replaceAll("_", " ")));
  const options = Object.entries(RUN).map(([knob, schema]) => make(knob, schema, () => write(schema.default), schema.label));
  const tick = (option, label, hint) => {
    const node = h("input", { type: "checkbox", id: `tick-${option}`, checked: more[option], onchange: () => { more[option] = node.checked; told(); } });
    return h("div.tick", node, h("label", { htmlFor: node.id }, label, h("span.hint", hint)));
  };
  const presets = choice(Object.keys(system.presets), preset, (value) => {
    preset = value;
    for (const knob of names) { fields.get(knob).control.set(base(knob)); check(knob); }
    told();
  });
  let made = false, closed = false;
  fill(root,
    h("div.heading", h("a.small", { href: "#/train" }, "All systems"), h("h1", system.name), h("p.lead", system.title)),
    h("div.train",
      h("form.stack", { onsubmit: (event) => { event.preventDefault(); begin(); } },
        h("section.card", h("h2", "Settings"), field("Preset", presets, "fills in all fields below"), h("div.knobs", knobs)),
        h("section.card", h("h2", "Run"), h("div.knobs", options),
          "lr" in system.knobs ? tick("auto_lr", "Find the learning rate first", "short trainings at several rates; the best is taken") : null,
          takesData ? tick("skip_unreadable", "Leave out unreadable pictures", "of your own data") : null),
        own ? h("section.card", h("h2", "Data"), h("p.soft.small", "Without a file of yours: the system's own data."), own.node, fits) : null,
        h("button", { type: "submit", hidden: true, tabIndex: -1, "aria-hidden": "true" })),
      h("div.stack.beside",
        h("section.card.stack", owner ? [shown.node, h("div.row", start, h("span.soft.small", "It goes on when this page is closed."))] : [shown.node, h("p.note", "This studio is shared for looking only.")], said),
        h("section.card", h("h2", system.year ? `${system.name}, ${system.year}` : system.name), about(system)),
        h("section.card", h("details", h("summary", `Source: ${system.source.split("\n").length} lines of Python`), source(system.source, system.name))))));
  await own?.ready;
  made = true;
  told();
  return () => { closed = true; };
}
