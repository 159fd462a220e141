// Data of the user's own: uploaded, looked at, and shown as `milestones data PATH` would say it.
import { h, fill, choice, field, digits } from "../../dom.js";
import { get, post } from "../../api.js";

const LARGEST = 64 << 20;

/** {node, ready, found()}: a place to drop a file. onchange(found or null) with each change. */
export function ownData({ id, target, shell, onchange }) {
  let found = null;
  const told = h("div", { "aria-live": "polite" });
  const input = h("input.visually-hidden", { type: "file", accept: ".zip,.csv,.tsv,.jsonl,.ndjson,.parquet", onchange: () => input.files[0] && send(input.files[0]) });
  const drop = h("label.drop", { ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
    ondragleave: () => drop.classList.remove("over"),
    ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]); } },
    input, h("b", "Choose a file, or drop it here"),
    h("span.soft.small", "A zip with a folder of pictures for each class, or a table as CSV, TSV, JSON lines or Parquet. At most 64 MiB. It stays on this machine."));

  async function send(file) {
    if (file.size > LARGEST) return wrong(`Expected a file of at most 64 MiB, got ${digits(Math.ceil(file.size / 2 ** 20))} MiB. Choose a smaller one.`);
    fill(told, h("p.soft", { role: "status" }, "Unpacking and reading it…"));
    try {
      await show(await post("uploads", file));
    } catch (problem) { wrong(problem.message); }
    input.value = "";
  }
  function wrong(line) { fill(told, h("p.error", { role: "alert" }, line)); found = null; onchange(null); }
  async function look(column) {
    try {
      await show(await get(`uploads/${encodeURIComponent(found?.id || id)}?target=${encodeURIComponent(column)}`));
    } catch (problem) { wrong(problem.message); }
  }
  async function show(value) {
    found = value;
    const rows = Object.entries(found.counts);
    fill(told, h("div.found",
      h("div.row.spread", h("h3", `${found.kind === "table" ? "A table" : "Pictures"}, ${rows.map(([split, c]) => `${split === "all" ? "" : `${split} `}${digits(Object.values(c).reduce((a, b) => a + b, 0))}`).join(", ")}`),
        h("button.icon", { type: "button", onclick: () => { found = null; fill(told); onchange(null); } }, "Remove")),
      found.problems.length ? h("div.error", h("b", `${found.problems.length} to mend before training`), h("ul", found.problems.slice(0, 8).map((line) => h("li", line))),
        found.problems.length > 8 ? `and ${found.problems.length - 8} more` : null) : h("p.good", found.kind === "table" && !found.target ? "It can be read." : "It can be trained on."),
      found.names.length ? field("Column to predict", choice([["", "choose a column"], ...found.names], found.target, look)) : null,
      rows.some(([, c]) => Object.keys(c).length > 1) ? classes(rows) : null,
      h("ul.small", [...found.notes.filter((note) => !note.startsWith("Say which column")), ...Object.entries(found.duplicates).filter(([, n]) => n).map(([what, n]) => `${digits(n)} ${what}`)].map((line) => h("li", line))),
      found.columns.length ? h("details", h("summary", `${found.columns.length} columns`), h("ul.small", found.columns.map((line) => h("li", line)))) : null,
      found.examples.length ? h("details", h("summary", "Examples"), h("ul.small", found.examples.map((line) => h("li", line)))) : null));
    onchange(found);
  }
  const ready = id ? look(target) : Promise.resolve();
  return { node: shell.me.role === "owner" ? h("div.datum", drop, told) : told, ready, found: () => found };
}

function classes(rows) {
  const names = [...new Set(rows.flatMap(([, counts]) => Object.keys(counts)))].slice(0, 20);
  return h("div.scroll", h("table", h("thead", h("tr", h("th", { scope: "col" }, "Class"), rows.map(([split]) => h("th", { scope: "col" }, split)))),
    h("tbody", names.map((name) => h("tr", h("th", { scope: "row" }, name), rows.map(([, counts]) => h("td.num", digits(counts[name] ?? 0))))))));
}
