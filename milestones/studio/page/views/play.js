// Play against a run on its board, watch it, or play its world by hand. The page judges every move.
import { h, fill, choice, digits, styles } from "../dom.js";
import { get, desk } from "../api.js";
import { draw } from "../media.js";
import { position, chances, spot, tree } from "../board.js";

export const title = "Play";

export async function open(root, words, params, shell) {
  await styles("kinds");
  const runs = (await get("runs")).filter((run) => run.state === "finished" || run.shipped);
  if (!words[0]) return listed(root, runs);
  const id = words[0], run = runs.find((one) => one.run === id), body = h("div.stack", h("p.soft", { role: "status" }, "Opening the run …"));
  const problem = h("p.error", { role: "alert", hidden: true }), say = (text) => { problem.textContent = text; problem.hidden = !text; };
  fill(root, h("div.row.spread", h("h1", "Play ", h("span", run ? run.system : "")), h("a.button", { href: "#/play" }, "All runs")), problem, body);
  let close = null, left = false;
  const board = await desk.ask({ do: "move", run: id }).catch(() => null);
  if (board) return game(body, id, board, say);
  const [film, world] = await Promise.all([desk.ask({ do: "watch", run: id }).catch(() => null), desk.ask({ do: "world", run: id }).catch(() => null)]);
  const shows = ((await get(`runs/${encodeURIComponent(id)}`).catch(() => ({}))).shows || []).filter((show) => /\.(webp|gif)$/.test(show.file));
  fill(body);
  if (!film && !world && !shows.length) { fill(body, nothing()); return null; }
  body.append(h("div.grid.wide", film && h("section.card", h("h2", "What it does"), film.items.map((item) => h("figure", { style: { margin: 0 } }, h("figcaption.soft.small", item.name), draw(item, film.arrays[item.name])))),
    shows.length ? shown(id, shows, say) : null));
  if (world) close = byHand(body, id, world, say, () => left);
  if (run) body.append(scores(run));
  return () => { left = true; close?.(); };
}

const nothing = () => h("p.card", "Runs that play a board game, or whose world has frames, can be played here: none of these does. Train one: milestones train alphazero; a page of your own that takes Board can be played, too.");

async function listed(root, runs) {
  const plays = runs.filter((run) => !run.shipped || run.plays);
  fill(root, h("h1", "Play"), h("p.lead", "Play against a trained run, watch it, or play its world yourself."),
    plays.length ? h("div.grid", plays.map((run) => h("a.card", { href: `#/play/${encodeURIComponent(run.run)}` }, h("b", run.run), h("p.soft.small", run.system)))) : nothing());
}

/** The films that a run showed while it trained. */
function shown(id, shows, say) {
  const place = h("div"), open = async (file) => {
    try { const told = await desk.ask({ do: "film", run: id, file }); fill(place, draw(told.items[0], told.arrays.film)); } catch (failed) { say(failed.message); }
  };
  open(shows.at(-1).file);
  const which = choice(shows.map((show) => [show.file, `${show.name}, step ${show.step.toLocaleString("en")}`]), shows.at(-1).file, open);
  which.setAttribute("aria-label", "Film");
  return h("section.card", h("h2", "While it learned"), which, place);
}

/** A human's figure beside the run's, where its scores have them. */
function scores(run) {
  const rows = Object.entries(run.scores).filter(([, score]) => score && score.value != null);
  if (!rows.length) return h("span");
  return h("section.card", h("h2", "Scores"), h("div.scroll", h("table", h("thead", h("tr", ["", "here", "95 %", "published"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", rows.map(([name, score]) => h("tr", h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", `${digits(score.value)} ${score.unit || ""}`), h("td", `${digits(score.low)} to ${digits(score.high)}`), h("td", score.paper == null ? "–" : digits(score.paper))))))));
}

/** A game against the run. */
function game(body, id, first, say) {
  let past = [], now = null, items = [], map = null, mine = 1, busy = false, closed = false, ahead = 100, passes = first.passes;
  let whole = [], along = null, wanted = null; // a game to walk through: its moves, the chances along it, and where to
  let asked = 0; // questions so far: an answer to an earlier one is late, and nobody waits for it
  const fresh = first.items[0].value, left = h("div"), right = h("div.stack"), status = h("p.visually-hidden", { role: "status" });
  const play = (row, column) => { if (busy) return; if (now.turn === mine) ask({ ...now, wish: [mine, row, column] }); else if (!now.turn) say("The game is over. Begin a new one."); };
  const side = choice(fresh.pieces.map((name, i) => [String(i + 1), name]), "1", (value) => { mine = +value; begin(); });
  const maps = choice([["policy", "policy"], ["visits", "visits"], ["", "nothing"]], "policy", (value) => { map = value; now = { ...now, worth: null }; show(); });
  side.setAttribute("aria-label", "You play");
  maps.setAttribute("aria-label", "Show on the board");
  const file = h("input", { type: "file", accept: ".sgf", id: "sgf-input", onchange: async () => { const chosen = file.files[0]; file.value = ""; if (chosen) load(new Uint8Array(await chosen.arrayBuffer())); } });
  file.classList.add("visually-hidden");
  const undo = h("button", { type: "button", onclick: () => { say(""); const last = past.pop(); if (last) { [now, items] = last; leave(); show(); } } }, "Undo");
  const pass = h("button", { type: "button", onclick: () => play(-1, -1) }, "Pass"), far = choice([1, 10, 100, 400, 1600].map((n) => [String(n), n.toLocaleString("en")]), "100", (value) => { ahead = +value; });
  far.setAttribute("aria-label", "Simulations a move");
  const thinks = first.thinks && h("button", { type: "button", onclick: () => think() }, "What does it think?"), solver = first.solver && h("button", { type: "button", onclick: () => solve() }, "Ask the solver");
  const at = h("output.small.num"), walk = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Move of the game", oninput: () => { at.textContent = `${walk.value} of ${whole.length}`; }, onchange: () => go(+walk.value) });
  const graph = first.thinks && h("button", { type: "button", onclick: () => chancesOf() }, "Chances along the game"), walking = h("label.row.small", { hidden: true }, "Move", walk, at);
  fill(body, status, h("div.row", h("button.main", { type: "button", onclick: () => begin() }, "New game"), undo, pass, thinks || null, graph || null, solver || null,
    h("label.row.small", "You play", side), first.thinks ? h("label.row.small", "Looks ahead", far) : null, h("label.row.small", "Show", maps), h("label.button", { htmlFor: "sgf-input" }, "Load SGF"), file, h("button", { type: "button", onclick: save }, "Save SGF")),
    h("div.split.play", h("div.stack", left, walking), right));

  async function ask(board, more = {}) {
    const number = ++asked;
    busy = true;
    say("");
    const before = now && [now, items];
    try {
      const told = await desk.ask({ do: "move", run: id, board, simulations: ahead, ...more }), found = told.items.find((item) => item.kind === "board");
      if (closed || !found || number !== asked) return;
      if (before && board.wish) past.push(before);
      if (!more.only) leave();
      passes = told.passes;
      [now, items] = [found.value, told.items.filter((item) => item !== found)];
      map ??= now.visits ? "visits" : now.policy ? "policy" : "";
      maps.value = map;
      status.textContent = `${now.moves.slice(-2).map(([piece, row, column]) => `${now.pieces[piece - 1]} ${spot(row, column, now.board.length, now.down)}`).join(", ")}; ${now.note}`;
      show();
    } catch (failed) { if (!closed && number === asked) say(failed.message); } finally { if (number === asked) busy = false; }
  }
  /** What the run thinks of this position, without a move. */
  async function think() { if (!busy) await ask({ ...now, wish: null }, { only: true }); }
  /** The chances after each move of the game, and a way to walk through it. */
  async function chancesOf() {
    if (busy) return;
    busy = true;
    say("");
    const number = ++asked, moves = whole.length ? whole : now.moves;
    try {
      const told = await desk.ask({ do: "move", run: id, board: { ...fresh, moves, wish: null }, simulations: ahead, along: true });
      if (closed || number !== asked) return;
      if (!told.items.length) say("There is no move yet.");
      else { [whole, along] = [moves, told.items]; show(); }
    } catch (failed) { if (!closed && number === asked) say(failed.message); } finally { if (number === asked) busy = false; }
  }
  /** The position after so many moves of the game, and what the run thinks of it. */
  async function go(count) {
    wanted = count;
    while (!busy && wanted != null) { const moves = whole.slice(0, wanted); wanted = null; await ask({ ...fresh, moves, wish: null }, { only: true }); }
  }
  function leave() { whole = []; along = null; wanted = null; asked++; busy = false; }
  /** What perfect play knows of each move. */
  async function solve() {
    if (busy) return;
    busy = true;
    say("");
    status.textContent = "The solver thinks …";
    const number = ++asked;
    try {
      const told = await desk.ask({ do: "move", run: id, board: { ...now, wish: null }, solver: true });
      if (closed || number !== asked) return;
      now = { ...now, worth: told.worth };
      const all = told.worth.flat().filter((worth) => worth != null), best = Math.max(...all);
      status.textContent = all.length ? `The solver: ${now.pieces[now.turn - 1]} ${best > 0 ? "wins" : best < 0 ? "loses" : "draws"}` : "The game is over";
      show();
    } catch (failed) { if (!closed && number === asked) say(failed.message); } finally { if (number === asked) busy = false; }
  }
  function begin() { passes = first.passes; leave(); say(""); past = []; items = []; now = fresh; show(); if (mine !== now.turn) ask({ ...now, wish: null }); }
  async function load(bytes) {
    say("");
    try { const told = await desk.ask({ do: "move", run: id }, bytes); passes = told.passes; past.push([now, items]); now = { ...fresh, ...told.items[0].value, game: fresh.game, pieces: fresh.pieces, crossings: fresh.crossings }; items = told.items.slice(1); mine = now.turn || 1; side.value = String(mine); leave(); if (first.thinks) whole = now.moves; show(); } catch (failed) { say(failed.message); return; }
    if (whole.length) await chancesOf();
  }
  async function save() {
    try {
      const told = await desk.ask({ do: "sgf", board: now }), address = URL.createObjectURL(new Blob([told.sgf], { type: "application/x-go-sgf" }));
      h("a", { href: address, download: `${fresh.game}.sgf` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    } catch (failed) { say(failed.message); }
  }
  function show() {
    const held = left.contains(document.activeElement);
    fill(left, position(now, { play, map: now.worth ? "" : map ?? undefined }), now.worth ? h("p.soft.small", "The solver, for the one to move: above 0 wins, below 0 loses, 0 draws; the larger the number the sooner.") : null);
    if (now.owner && !maps.querySelector("[value=owner]")) maps.append(h("option", { value: "owner" }, "whose each point will be"));
    walking.hidden = !whole.length;
    if (whole.length) { walk.max = whole.length; walk.value = now.moves.length; at.textContent = `${now.moves.length} of ${whole.length}`; }
    pass.hidden = !(fresh.game === "go" || passes);
    if (held) left.querySelector("svg").focus({ preventScroll: true });
    undo.disabled = !past.length;
    fill(right, chances(now), [...(along || []), ...items.filter((item) => item.name !== "owner")].map((item) => h("figure", { style: { margin: 0 } }, h("figcaption.soft.small", item.name.replaceAll("_", " ")), draw(item))),
      now.tree?.length ? h("details", { open: true }, h("summary", "What it looked at"), tree(now.tree)) : null);
  }
  begin();
  return () => { closed = true; };
}

/** The run's world, played with buttons or keys. */
function byHand(body, id, told, say, gone) {
  const place = h("div"), line = h("p.num", { role: "status" }), keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];
  let busy = false;
  async function act(action) {
    if (busy) return;
    busy = true;
    say("");
    try { show(await desk.ask({ do: "world", run: id, action })); } catch (failed) { say(failed.message); } finally { busy = false; }
  }
  function show(now) {
    if (gone()) return;
    fill(place, draw({ kind: "image", value: null }, now.arrays.frame, { label: "the world" }));
    line.textContent = `${now.steps} steps, reward ${digits(now.total)}${now.over ? "; the episode is over" : ""}`;
  }
  const heard = (event) => {
    const k = told.actions.findIndex((name) => name.toLowerCase() === event.key.replace("Arrow", "").toLowerCase());
    if (keys.includes(event.key) && k >= 0 && !["INPUT", "SELECT", "TEXTAREA", "svg"].includes(document.activeElement.tagName)) { event.preventDefault(); act(k); }
  };
  addEventListener("keydown", heard);
  body.append(h("section.card", h("h2", "Play it yourself"), place, line, h("div.row", told.actions.map((name, k) => h("button", { type: "button", onclick: () => act(k) }, name)),
    h("button.main", { type: "button", onclick: () => act(null) }, "New episode")), h("p.soft.small", "Arrow keys work, too.")));
  show(told);
  return () => removeEventListener("keydown", heard);
}
