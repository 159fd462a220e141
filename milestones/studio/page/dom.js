// Small things that every view builds from. No framework: an element is made once and changed in place.

/** An element: h("button.main", {onclick}, "Train"). Texts are never read as HTML. */
export function h(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  if (attributes instanceof Node || typeof attributes !== "object" || Array.isArray(attributes)) {
    children.unshift(attributes);
    attributes = {};
  }
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && !["list", "form", "role", "style"].includes(name)) node[name] = value;
    else if (name === "style") Object.assign(node.style, value);
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(9).filter((child) => child != null && child !== false));
  return node;
}

/** Replace what a node holds. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(9).filter((child) => child != null && child !== false));
  return node;
}

let labels = 0;
/** A control with its label and a hint: field("Rate", input, "Adam step size"). */
export function field(label, control, hint = "") {
  control.id ||= `field-${++labels}`;
  const tip = hint ? h("span.hint", { id: `${control.id}-hint` }, hint) : null;
  if (tip) control.setAttribute("aria-describedby", tip.id);
  return h("div.field", h("label", { htmlFor: control.id }, label), control, tip);
}

/** A select: choice(["a", ["b", "Bee"]], "a", (value) => ...). */
export function choice(options, value, onchange) {
  const node = h("select", { onchange: () => onchange?.(node.value) },
    options.map((o) => (Array.isArray(o) ? h("option", { value: o[0] }, o[1]) : h("option", { value: o }, o))));
  node.value = value;
  return node;
}

/** A message in the corner; with an action it stays longer: toast("Deleted", ["Undo", f]). */
export function toast(text, action) {
  const node = h("div.toast", h("span", text), action && h("button", { type: "button", onclick: () => { node.remove(); action[1](); } }, action[0]));
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), action ? 12000 : 5000);
}

/** A number as people write it: 3 to 4 digits, thousands apart. */
export function digits(x, places = 4) {
  if (x == null || Number.isNaN(x)) return "–";
  if (Number.isInteger(x)) return x.toLocaleString("en");
  const size = Math.abs(x);
  if (size >= 1e6 || size < 1e-4) return x.toExponential(2);
  return size >= 1000 ? Math.round(x).toLocaleString("en") : String(+x.toPrecision(places));
}

/** Seconds as words: "12 s", "4 min", "2.1 h". */
export function span(seconds) {
  if (seconds == null) return "–";
  return seconds < 100 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A colour token's value: token("--accent"). */
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const SERIES = ["--s1", "--s2", "--s3", "--s4", "--s5", "--s6", "--s7", "--s8"];

const sheets = new Map();  // name -> {link, loaded, on}
/** A view's own style sheet: styles("use") for views/use.css. Resolves when it applies. It applies until the view is left. */
export function styles(name) {
  if (!sheets.has(name)) {
    const sheet = { on: true, link: h("link", { rel: "stylesheet", href: `/page/views/${name}.css` }) };
    sheet.loaded = new Promise((done) => { sheet.link.onload = sheet.link.onerror = () => { apply(sheet); done(); }; });
    sheets.set(name, sheet);
    document.head.append(sheet.link);
  }
  const sheet = sheets.get(name);
  sheet.on = true;
  apply(sheet);
  return sheet.loaded;
}

/** No view's style sheet applies: the next view may use the same names for other things. */
export function plain() {
  for (const sheet of sheets.values()) {
    sheet.on = false;
    apply(sheet);
  }
}

function apply({ link, on }) { if (link.sheet) link.sheet.disabled = !on; }
