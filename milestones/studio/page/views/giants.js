// The giant-target test: people look for a mug in rooms, some of them with one that is far too large.
import { h, fill, field, choice, digits, styles } from "../dom.js";
import { desk, get } from "../api.js";
import { nameOf, paint } from "../subject.js";

export const title = "Giants";

const NAMES = { miss_normal: "of its size", miss_giant: "giant", miss_control: "of its size, from near" };

export async function open(root, words, params, shell) {
  await styles("look");
  const runs = (await get("runs")).filter((r) => r.system === "scenes" && r.state === "finished").map((r) => r.run);
  let closed = false, timer = null, test = null, answers = [], asked = 0, waiting = null;
  const count = choice([["12", "12"], ["24", "24"], ["48", "48"], ["96", "96"]], params.get("count") || "24");
  const time = choice([["250", "a quarter of a second"], ["500", "half a second"], ["1000", "one second"], ["2000", "two seconds"]], params.get("ms") || "500");
  const seed = h("input", { type: "number", min: 0, max: 999999, value: params.get("seed") || 1 + Math.floor(Math.random() * 9999) });
  const net = choice([["", "no net"], ...runs.map((r) => [r, nameOf(r)])], runs[0] || "");
  const stage = h("div"), wrong = h("p.error", { hidden: true, role: "alert" });
  fill(root, h("h1", "The giant-target test"), h("p.lead", "Is there a mug in the room? People tend to miss one that is far too large for its room. Do you?"), wrong, stage);

  function begin() {
    fill(stage, h("div.split",
      h("form.card", { onsubmit: (event) => { event.preventDefault(); run(); } }, field("Rooms", count, "Half of them have a mug."), field("Each is shown for", time),
        field("Seed", seed, "The same seed gives the same rooms in the same order."), runs.length ? field("Beside a net", net) : h("p.small.soft", "No run of the page scenes yet: you will see your own misses beside the published figures alone."),
        h("button.main", { type: "submit" }, "Begin")),
      h("section.card", h("h2", "How it goes"), h("p", "A cross, then a room for a moment, then the question. Answer with the keys Y and N, or with the buttons; Escape ends the test."),
        h("p", "A jug with a spout is not a mug. The mugs are of three kinds: of the size that fits the room; giant; and of fitting size in a room seen from near, as many pixels as a giant. The order is random."),
        h("p.soft.small", "Your answers stay in this browser."))));
  }

  async function run() {
    wrong.hidden = true;
    try {
      test = await desk.ask({ do: "scene", count: +count.value, seed: +seed.value || 0, ...(net.value ? { run: net.value } : {}) });
    } catch (problem) { fill(wrong, problem.message); wrong.hidden = false; return; }
    if (closed) return;
    shell.address(`#/giants?${new URLSearchParams({ count: count.value, ms: time.value, seed: seed.value })}`);
    answers = [];
    asked = 0;
    next();
  }

  const room = (k) => ({ shape: [64, 64, 1], data: test.arrays.rooms.data.subarray(4096 * k, 4096 * (k + 1)) });
  function next() {
    if (asked === answers.length && asked >= test.there.length) { result(); return; }
    fill(stage, h("section.card.giant", h("p.cross", { "aria-hidden": "true" }, "+"), h("p.small.soft", `Room ${asked + 1} of ${test.there.length}`)));
    timer = setTimeout(() => {
      const canvas = h("canvas", { role: "img", "aria-label": `room ${asked + 1}` });
      paint(canvas, room(asked));
      fill(stage, h("section.card.giant", canvas, h("p.small.soft", " ")));
      timer = setTimeout(question, +time.value);
    }, 600);
  }
  function question() {
    const since = performance.now();
    waiting = (yes) => {
      waiting = null;
      answers.push({ yes, ms: Math.round(performance.now() - since) });
      asked += 1;
      next();
    };
    fill(stage, h("section.card.giant", h("h2", "Was there a mug?"), h("div.row", h("button.main", { type: "button", onclick: () => waiting?.(true) }, "Yes (Y)"), h("button", { type: "button", onclick: () => waiting?.(false) }, "No (N)")),
      h("p.small.soft", `Room ${asked + 1} of ${test.there.length}`)));
    stage.querySelector("button").focus();
  }
  function key(event) {
    if (event.key === "Escape" && test && asked < test.there.length && answers.length === asked && stage.querySelector(".giant")) { clearTimeout(timer); waiting = null; begin(); }
    if (!waiting || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.toLowerCase() === "y") waiting(true);
    if (event.key.toLowerCase() === "n") waiting(false);
  }
  document.addEventListener("keydown", key);

  /* Wilson's 95 % interval of a rate, in percent. */
  function interval(wrongs, over) {
    const z2 = 1.959964 ** 2, rate = wrongs / over, middle = (rate + z2 / (2 * over)) / (1 + z2 / over), half = Math.sqrt(z2 * (rate * (1 - rate) / over + z2 / (4 * over ** 2))) / (1 + z2 / over);
    return [100 * Math.max(0, Math.min(rate, middle - half)), 100 * Math.min(1, Math.max(rate, middle + half))];
  }
  function rate(said, kind, there) {
    const rooms = test.there.map((t, k) => k).filter((k) => test.kinds[k] === kind && !!test.there[k] === there);
    const wrongs = rooms.filter((k) => said[k] !== there).length, [low, high] = interval(wrongs, rooms.length);
    return { value: 100 * wrongs / rooms.length, low, high, over: rooms.length, wrongs };
  }
  function cell(r, color = "--s1") {
    return h("td", h("div.giant-bar", { role: "img", "aria-label": `${digits(r.value, 3)} %, interval ${digits(r.low, 3)} to ${digits(r.high, 3)}` }, h("i", { style: { width: `${r.value}%`, background: `var(${color})` } }), h("b", { style: { left: `${r.low}%`, width: `${r.high - r.low}%` } })),
      h("span.small.num", `${digits(r.value, 3)} % [${digits(r.low, 3)}, ${digits(r.high, 3)}]${r.wrongs != null ? `, ${r.wrongs} of ${r.over}` : ""}`));
  }
  function result() {
    const mine = answers.map((a) => a.yes), theirs = test.net;
    const heads = ["mug", "you missed", ...(theirs ? ["the net, same rooms", "the net, its score"] : []), "people, published"];
    const kinds = Object.keys(NAMES), alarms = kinds.map((k) => rate(mine, k, false)).reduce((a, b) => ({ wrongs: a.wrongs + b.wrongs, over: a.over + b.over }));
    fill(stage, h("div.stack", h("section.card", h("h2", "Mugs that were missed"), h("div.scroll", h("table", h("thead", h("tr", heads.map((c) => h("th", { scope: "col" }, c)))),
      h("tbody", kinds.map((k) => h("tr", h("th", { scope: "row" }, NAMES[k]), cell(rate(mine, k, true)), theirs ? [cell(rate(theirs.yes, k, true), "--s3"), theirs.scores[k] ? cell(theirs.scores[k], "--s3") : h("td", "–")] : null, h("td", test.people[k])))))),
      h("p.small", `You saw a mug in ${alarms.wrongs} of ${alarms.over} rooms without one${theirs ? `; the net in ${theirs.yes.filter((y, k) => y && !test.there[k]).length}` : ""}. Bars: misses; lines: 95 % intervals, wide for so few rooms.`),
      h("p.small.soft", `People: by ${test.source}.`),
      h("div.row", h("button.main", { type: "button", onclick: begin }, "Again"), h("button", { type: "button", onclick: csv }, "Download as CSV"))),
      h("section.card", h("h2", "The mugs that you missed"), missed(mine))));
  }
  function missed(mine) {
    const rooms = test.there.map((t, k) => k).filter((k) => test.there[k] && !mine[k]).slice(0, 12);
    if (!rooms.length) return h("p", "None.");
    return h("div.giant-samples", rooms.map((k) => {
      const canvas = h("canvas", { role: "img", "aria-label": NAMES[test.kinds[k]] });
      paint(canvas, room(k));
      return h("figure", canvas, h("figcaption.small", NAMES[test.kinds[k]]));
    }));
  }
  function csv() {
    const lines = [["room", "mug", "there", "answer", "ms", "shown_ms", "seed"], ...answers.map((a, k) => [k + 1, NAMES[test.kinds[k]].replace(",", ""), test.there[k], +a.yes, a.ms, time.value, test.seed])];
    const link = h("a", { href: URL.createObjectURL(new Blob([lines.map((l) => l.join(",")).join("\n") + "\n"], { type: "text/csv" })), download: `giants-${test.seed}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  begin();
  return () => { closed = true; clearTimeout(timer); document.removeEventListener("keydown", key); };
}
