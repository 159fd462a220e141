// The frame: which view is open, by the address after #; the theme; the connection.
import { h, fill, plain, toast } from "./dom.js";
import { get } from "./api.js";

// Address -> [name in the navigation or "", module, "ask" if it asks a net, which a viewer may not]. A view exports title and open(root, words, params, shell), which may
// return a function that closes it.
export const VIEWS = {
  "": ["Timeline", "./views/timeline.js"],
  train: ["Train", "./views/train.js"],
  playground: ["Playground", "./views/playground.js", "ask"],
  use: ["Use", "./views/use.js", "ask"],
  look: ["Look", "./views/look.js", "ask"],
  attack: ["Attack", "./views/attack.js", "ask"],
  landscape: ["Landscape", "./views/landscape.js", "ask"],
  play: ["Play", "./views/play.js", "ask"],
  lectures: ["Lectures", "./views/lectures.js"],
  quiz: ["Quiz", "./views/quiz.js"],
  giants: ["", "./views/giants.js", "ask"],
  runs: ["Runs", "./views/runs.js"],
};

const REFUSED = "This view asks a net, and in a shared studio only its owner may. The timeline, the lectures, the quiz and the runs are open to you.";
const root = document.getElementById("view"), looking = () => shell.me.role === "viewer";
let close = null, turn = 0;

/** The address as words and parameters: #/train/lenet?seed=1 -> {words: ["train", "lenet"], params}. */
export function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { words: path.split("/").map(decodeURIComponent), params: new URLSearchParams(query) };
}

async function open() {
  const mine = ++turn, { words, params } = place();
  const [name, module, asks] = VIEWS[words[0]] || VIEWS[""];
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === (VIEWS[words[0]] ? words[0] : "")) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
  try {
    const view = await import(module);
    if (mine !== turn) return;
    close?.();
    close = null;
    document.title = `${view.title || name} · milestones`;
    const page = h("div");  // of this turn alone: a view that is left while it opens draws nothing into the next one
    plain();
    fill(root, page);
    root.dataset.ready = "";
    const closer = asks && looking() ? void fill(page, h("h1", name || view.title), h("p", REFUSED)) : await view.open(page, words.slice(1), params, shell);
    if (mine === turn) close = closer || null;
    else closer?.();
  } catch (problem) {
    if (mine === turn) fill(root, h("p.error", { role: "alert" }, problem.message));
  }
  if (mine === turn) root.dataset.ready = words.join("/") || "timeline";
}

const shell = {
  me: { role: "owner" },
  /** Change the address without opening the view again. */
  address(hash) { history.replaceState(null, "", hash); },
  go(hash) { location.hash = hash; },
  say: toast,
  /** The connection: true, false, or "key" when the studio was started again and this browser has no key to it. */
  link(on) {
    document.getElementById("link").textContent = on === "key" ? "The studio was started again: open the new link that the terminal printed; this page then goes on."
      : on ? "" : "Connection lost; trying again";
  },
  onTheme: new Set(),
};

function theme(name) {
  document.documentElement.dataset.theme = name;
  for (const told of shell.onTheme) told(name);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
theme(localStorage.getItem("theme") || (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => { if (!localStorage.getItem("theme")) theme(dark.matches ? "dark" : "light"); });
document.getElementById("theme").addEventListener("click", () => {
  const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", name);
  theme(name);
});
shell.me = await get("me").catch(() => shell.me);
fill(document.getElementById("nav"), Object.entries(VIEWS).filter(([, [name, , asks]]) => name && !(asks && looking()))
  .map(([view, [name]]) => h("a", { href: `#/${view}`, "data-view": view }, name)));
document.documentElement.dataset.role = shell.me.role;
if (looking()) document.querySelector(".tools").prepend(h("span.tag", { title: "This studio is shared: look at all, change nothing." }, "Looking only"));
addEventListener("hashchange", open);
open();
