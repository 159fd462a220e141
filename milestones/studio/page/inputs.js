// The controls that an input of each kind is given with. A kind that a page takes and that stands in no line here can be
// given on the command line alone. To add one: a function (form, give, refuse) -> {node, clear?(), show?(example), close?()}.
//   form    what the desk tells of a run (act "form")
//   give    give({ask, payload, live, name}): `ask` holds the kind and what else the desk's `received` wants; `live`
//           while it still grows; `name` what it is called where several are answered; give(null) when it was taken away
//   refuse  refuse(message): a line about an input that cannot be read
import { h, field, choice, styles } from "./dom.js";
import { pad } from "./pad.js";
import { picture } from "./media.js";

export const INPUTS = { image, audio, row, text, latent };
const MOST_BYTES = 32 << 20;

/** The controls for all kinds that a run takes, one below the other. */
export async function inputs(form, give, refuse) {
  await styles("inputs");
  const made = (form.latent?.length ? ["latent", ...form.takes.filter((kind) => kind !== "row")] : form.takes).filter((kind) => INPUTS[kind]).map((kind) => INPUTS[kind](form, give, refuse));
  return {
    node: h("div.stack", made.map((one) => one.node)), count: made.length,
    show(example) { for (const one of made) one.show?.(example); },
    clear() { for (const one of made) one.clear?.(); },
    close() { for (const one of made) one.close?.(); },
  };
}

/** A drawing sheet where drawings make sense, and files: chosen, dropped or pasted. */
function image(form, give, refuse) {
  const sheet = form.pad && pad({ wide: form.pad === "wide", onChange(live) {
    const drawn = sheet.picture();
    give(drawn && { ask: { kind: "image", shape: drawn.shape }, payload: drawn.data, live, name: "drawing" });
  } });
  async function take(files) {
    const pictures = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
    if (!pictures.length) return refuse("Expected a picture (PNG, JPEG, BMP, TIFF or WebP), got another file. Choose a picture.");
    for (const file of pictures) {
      if (file.size > MOST_BYTES) { refuse(`Expected a picture of at most 32 MB, got ${Math.round(file.size / 2 ** 20)} MB. Make it smaller.`); continue; }
      give({ ask: { kind: "image" }, payload: new Uint8Array(await file.arrayBuffer()), name: file.name, file, many: pictures.length > 1 });
    }
  }
  const chosen = h("input", { type: "file", accept: "image/*", multiple: true, id: "file-input", onchange: () => { take(chosen.files); chosen.value = ""; } });
  chosen.classList.add("visually-hidden");
  const drop = h("div.drop", h("label.button", { htmlFor: "file-input" }, "Choose pictures"), chosen,
    h("span.soft.small", "or drop or paste them here; they stay on this machine"));
  const over = (event) => { if ([...event.dataTransfer.items].some((item) => item.kind === "file")) { event.preventDefault(); drop.classList.add("over"); } };
  const left = () => drop.classList.remove("over");
  const dropped = (event) => { if (event.dataTransfer.files.length) { event.preventDefault(); left(); take(event.dataTransfer.files); } };
  const pasted = (event) => { if (event.clipboardData.files.length) { event.preventDefault(); take(event.clipboardData.files); } };
  const heard = [["dragover", over], ["dragleave", left], ["drop", dropped], ["paste", pasted]];
  for (const [name, listener] of heard) document.addEventListener(name, listener);
  return {
    node: h("div.stack", sheet && h("section", h("h2", form.pad === "wide" ? "Write a number" : "Draw"), sheet.node), h("section", h("h2", "Your pictures"), drop)),
    clear() { sheet?.clear(); },
    close() { for (const [name, listener] of heard) document.removeEventListener(name, listener); },
  };
}

/** A microphone and sound files; a module of its own, since few runs listen. */
function audio(form, give, refuse) {
  const node = h("section", h("h2", "A sound"));
  let made = null, closed = false;
  import("./microphone.js").then(({ microphone }) => { if (!closed) { made = microphone(give, refuse); node.append(made.node); } });
  return { node, show(example) { made?.show(example); }, close() { closed = true; made?.close(); } };
}

/** A slider for each number of a code: what is dragged is asked at once. `form.latent` lists {name, low, high, value}. */
function latent(form, give) {
  const cells = form.latent.map((one) => [one, h("input", { type: "range", min: one.low, max: one.high, step: "any", value: one.value ?? 0 })]);
  const send = (live) => give({ ask: { kind: "row", values: Object.fromEntries(cells.map(([one, control]) => [one.name, +control.value])) }, name: "code", live });
  return { node: h("section", { oninput: () => send(true), onchange: () => send(false) }, h("h2", "A code"), cells.map(([one, control]) => field(one.name, control))),
    clear() { for (const [one, control] of cells) control.value = one.value ?? 0; } };
}

/** A form of the columns that the run was trained on. */
function row(form, give) {
  const cells = form.columns.map((column) => [column, column.kind === "number"
    ? h("input", { type: "number", step: "any", value: column.median ?? "" })
    : choice([["", "(missing)"], ...column.categories], column.categories[0] ?? "")]);
  const send = (live) => give({ ask: { kind: "row", values: Object.fromEntries(cells.map(([column, control]) =>
    [column.name, control.value === "" ? null : column.kind === "number" ? +control.value : control.value])) }, name: "row", live });
  let timer;
  const later = () => { clearTimeout(timer); timer = setTimeout(send, 150); };
  const node = h("form", { onsubmit: (event) => { event.preventDefault(); send(); }, oninput: later },
    h("h2", "A row"), h("div.cells", cells.map(([column, control]) => field(column.name, control))),
    h("button.main", { type: "submit" }, "Ask"));
  return {
    node,
    show(example) {
      if (!example.values) return;
      for (const [column, control] of cells) control.value = example.values[column.name] ?? "";
      send();
    },
    close() { clearTimeout(timer); },
  };
}

/** A text area. */
function text(form, give) {
  const area = h("textarea", { rows: 4, spellcheck: false });
  const send = () => area.value.trim() && give({ ask: { kind: "text", text: area.value }, name: "text" });
  area.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); } });
  return {
    node: h("form", { onsubmit: (event) => { event.preventDefault(); send(); } }, field("Your text", area, "Control Enter sends it, too"),
      h("button.main", { type: "submit" }, "Ask")),
    clear() { area.value = ""; },
  };
}

/** Some examples to choose by a click: strip(told, choose) of an answer of the act "example". */
export function strip(told, choose) {
  const name = (i) => (told.labels[i] ? `true answer ${told.labels[i]}` : `example ${i + 1}`);
  if (told.kind === "image") {
    const { shape: [count, height, width, channels], data } = told.arrays.images, size = height * width * channels;
    return h("div.strip", Array.from({ length: count }, (_, i) => {
      const array = { shape: [height, width, channels], data: data.slice(i * size, (i + 1) * size) };
      return h("button.sample", { type: "button", "aria-label": `Use an example, ${name(i)}`, onclick: () => choose({ truth: told.labels[i],
        ask: { kind: "image", shape: channels === 1 ? [height, width] : array.shape }, payload: array.data, name: "example" }) },
        picture(array, { scale: Math.max(1, Math.floor(42 / height)), label: "" }), h("span.small", told.labels[i]));
    }));
  }
  if (told.kind === "audio") {
    let at = 0;
    return h("div.strip", told.lengths.map((length, i) => {
      const samples = told.arrays.samples.data.slice(at, at += length);
      return h("button.sample.text", { type: "button", "aria-label": `Use an example, ${name(i)}`, onclick: () => choose({ truth: told.labels[i],
        ask: { kind: "audio", rate_hz: told.rate_hz }, payload: samples, name: "example" }) }, `${(length / told.rate_hz).toFixed(1)} s`, h("span.small", ` ${told.labels[i]}`));
    }));
  }
  return h("div.strip", told.rows.map((values, i) => h("button.sample.text", { type: "button", onclick: () => choose({ truth: told.labels[i],
    values, ask: { kind: "row", values }, name: "example" }) }, `Row ${i + 1}`, h("span.small", ` ${told.labels[i]}`))));
}
