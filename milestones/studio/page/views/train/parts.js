// Pieces that the form and the live view share: a command to copy, a page's source, its heading.
import { h, toast } from "../../dom.js";

/** A command with a button that copies it: {node, set(text)}. */
export function command(label = "The command that does the same") {
  const text = h("code"), said = h("span.visually-hidden", { role: "status" });
  const button = h("button.icon", { type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
      said.textContent = "The command was copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    } catch {
      getSelection().selectAllChildren(text);
      toast("Selected; press Ctrl+C to copy");
    }
  } }, "Copy");
  return { node: h("div.command", h("div.row.spread", h("h2", label), button, said), h("pre", { tabIndex: 0 }, text)), set(value) { text.textContent = value; } };
}

const WORDS = new Set(("and as assert async await break class continue def del elif else except finally for from global if import in is "
  + "lambda None nonlocal not or pass raise return True False try while with yield match case self").split(" "));
const TOKEN = /("""[\s\S]*?"""|'''[\s\S]*?'''|[rfb]?"(?:\\.|[^"\\\n])*"|[rfb]?'(?:\\.|[^'\\\n])*')|(#[^\n]*)|(@?\b[A-Za-z_]\w*)|(\b\d[\w.]*)/g;

/** Python as coloured text, in a <pre> that scrolls. */
export function source(text, name) {
  const code = h("code");
  let at = 0;
  for (const found of text.matchAll(TOKEN)) {
    const [whole, string, comment, word, number] = found;
    const kind = string ? "string" : comment ? "comment" : number ? "number" : word && (WORDS.has(word) || word[0] === "@") ? "keyword" : "";
    if (!kind) continue;
    code.append(text.slice(at, found.index), h(`span.py-${kind}`, whole));
    at = found.index + whole.length;
  }
  code.append(text.slice(at));
  return h("pre.source", { tabIndex: 0, "aria-label": `Source of ${name}` }, code);
}

/** What the page's docstring says, as a list of definitions. */
export function about(system) {
  const fields = ["paper", "idea", "deviations", "result"].filter((field) => system[field]);
  return h("dl.about", fields.map((field) => [h("dt", field[0].toUpperCase() + field.slice(1)), h("dd", system[field])]));
}
