// Train: choose a system, fill in its form, watch it learn. All is drawn from the Config's schema, the log and the shows.
import { h, fill, styles } from "../dom.js";
import { get } from "../api.js";
import { form } from "./train/form.js";
import { live } from "./train/live.js";
import { ownData } from "./train/data.js";

export const title = "Train";

export async function open(root, [name, run], params, shell) {
  await styles("train");
  if (run) return live(root, run, params, shell);
  if (name) return form(root, name, params, shell);
  return choose(root, params, shell);
}

async function choose(root, params, shell) {
  const systems = await get("timeline");
  const fit = h("div", { "aria-live": "polite" });
  const own = ownData({
    id: params.get("data") || "", target: params.get("target") || "", shell,
    onchange(found) {
      const query = new URLSearchParams(found ? [["data", found.id], ...(found.target ? [["target", found.target]] : [])] : []);
      shell.address(`#/train${found ? `?${query}` : ""}`);
      fill(fit, found?.fit && (found.kind !== "table" || found.target) ? suggestion(found, query) : null);
    },
  });
  fill(root, h("h1", "Train"),
    h("p.lead", "Choose a system; its settings come next. Everything runs on this machine."),
    shell.me.role === "owner" ? h("section.card.own", h("h2", "Your own data"), own.node, fit) : null,
    h("h2.gap", "Systems"),
    h("ul.systems", systems.map((s) => h("li", h("a.card", { href: `#/train/${encodeURIComponent(s.name)}` },
      h("span.year.num", s.year || "yours"), h("b", s.name), h("span.soft.small", s.showed))))));
  await own.ready;
}

function suggestion({ fit, problems }, query) {
  query.set("preset", fit.preset);
  for (const [knob, value] of Object.entries(fit.settings)) query.set(knob, value);
  const usable = !problems.length;
  return h("div.row.fit", h("a.button", { class: usable ? "button main" : "button", href: `#/train/${fit.page}?${query}` }, `Train ${fit.page} on it`),
    h("span.soft.small", usable ? `Suggested, because ${fit.why}.` : "Mend the problems above first, or leave out unreadable pictures in the next step."));
}
