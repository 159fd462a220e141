// A position of a game: stones or signs, coordinates, the last move, and what a player thinks: a share for each point,
// the chance to win, the tree of its search.
import { h } from "./dom.js";

/** The name of a point. `down`: counted from the top, and with the letter i. */
export const spot = (row, column, rows, down = false) => {
  const letters = down ? "ABCDEFGHIJKLMNOPQRSTUVWXYZ" : "ABCDEFGHJKLMNOPQRSTUVWXYZ", wide = letters.length;
  return row < 0 ? "pass" : `${column >= wide ? letters[Math.floor(column / wide) - 1] : ""}${letters[column % wide]}${down ? row + 1 : rows - row}`;
};

function s(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function stone(piece, name, x, y) {
  if (/^(cross|x)$/i.test(name)) return s("path", { d: `M${x - .28} ${y - .28}l.56 .56m0 -.56l-.56 .56`, class: "cross" });
  if (/^(nought|circle|o)$/i.test(name)) return s("circle", { cx: x, cy: y, r: .29, class: "nought" });
  if (piece <= 2) return s("circle", { cx: x, cy: y, r: .45, class: `stone p${piece}${/^(yellow|red)$/i.test(name) ? ` ${name.toLowerCase()}` : ""}` });
  return s("text", { x, y: y + .2, class: "letter" }, name.slice(0, 2));
}

/** The board of a value. With `play(row, column)` it is played by click, or by arrow keys and Enter. `map` is "policy",
 *  "visits", "owner" or "". `value.worth`: of each point what a move there is worth, or null. Returns an element. */
export function position(value, { play, map = value.visits ? "visits" : value.policy ? "policy" : "" } = {}) {
  const rows = value.board.length, columns = value.board[0].length, edge = value.crossings ? 0 : .5;
  const lean = value.hexagons ? .5 : 0, X = (row, column) => column + lean * row, third = 1 / 3, drawing = s("svg", {
    viewBox: `-1.3 -.8 ${X(rows - 1, columns) + 1.6} ${rows + 1.2}`, class: "board", role: play ? "application" : "img", tabindex: play ? 0 : -1 });
  const lines = [];
  if (value.hexagons) for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) lines.push(`M${X(r, c)} ${r - 2 * third}l.5 ${third}v${2 * third}l-.5 ${third}l-.5 ${-third}v${-2 * third}z`);
  else {
    for (let i = 0; i <= rows - 1 + 2 * edge; i++) lines.push(`M${-edge} ${i - edge}h${columns - 1 + 2 * edge}`);
    for (let i = 0; i <= columns - 1 + 2 * edge; i++) lines.push(`M${i - edge} ${-edge}v${rows - 1 + 2 * edge}`);
  }
  drawing.append(s("path", { d: lines.join(""), class: "lines" }));
  if (value.hexagons) { // the shores, in the colours of those who join them
    const above = `l.5 ${-third}l.5 ${third}`.repeat(columns), below = `l.5 ${third}l.5 ${-third}`.repeat(columns), side = `v${2 * third}` + `l.5 ${third}v${2 * third}`.repeat(rows - 1);
    drawing.append(s("path", { d: `M-.5 ${-third}${above}M${X(rows - 1, -.5)} ${rows - 1 + third}${below}`, class: "shore first" }), s("path", { d: `M-.5 ${-third}${side}M${columns - .5} ${-third}${side}`, class: "shore second" }));
  }
  if (value.crossings && rows === columns && rows >= 9) {
    const far = rows > 11 ? 3 : 2, stars = rows % 2 ? [far, (rows - 1) / 2, rows - 1 - far] : [far, rows - 1 - far];
    for (const r of stars) for (const c of stars) drawing.append(s("circle", { cx: c, cy: r, r: .09, class: "star" }));
  }
  for (let c = 0; c < columns; c++) drawing.append(s("text", { x: X(rows - 1, c), y: rows - .02, class: "name" }, spot(0, c, 1, value.down).slice(0, -1)));
  for (let r = 0; r < rows; r++) drawing.append(s("text", { x: X(r, -1), y: r + .13, class: "name" }, String(value.down ? r + 1 : rows - r)));
  const heat = map === "owner" ? null : value[map], top = heat ? Math.max(...heat.flat(), 1e-9) : 1, sum = heat && map === "visits" ? heat.flat().reduce((a, b) => a + b, 0) || 1 : 1;
  value.board.forEach((line, r) => line.forEach((piece, c) => {
    if (piece) drawing.append(stone(piece, value.pieces[piece - 1], X(r, c), r));
    const owned = map === "owner" ? value.owner?.[r]?.[c] ?? 0 : 0, side = .5 * Math.abs(owned); // the surer, the larger
    if (side > .05) drawing.append(s("rect", { x: X(r, c) - side / 2, y: r - side / 2, width: side, height: side, class: `owner p${owned > 0 ? 1 : 2}` }));
    const v = heat?.[r]?.[c];
    if (v > 0) {
      drawing.append(s("circle", { cx: X(r, c), cy: r, r: .12 + .3 * Math.sqrt(v / top), class: piece ? "map ring" : "map" }));
      if (columns <= 13 && v / sum >= .005 && !piece) drawing.append(s("text", { x: X(r, c), y: r + .1, class: "share" }, String(Math.round(100 * v / sum))));
    }
  }));
  value.worth?.forEach((line, r) => line.forEach((worth, c) => { // what perfect play knows of a move here
    if (worth != null) drawing.append(s("circle", { cx: X(r, c), cy: r, r: .36, class: `worth ${worth > 0 ? "wins" : worth < 0 ? "loses" : "draws"}` }), s("text", { x: X(r, c), y: r + .12, class: "share" }, worth > 0 ? `+${worth}` : String(worth).replace("-", "−")));
  }));
  const last = value.moves.at(-1);
  if (last && last[1] >= 0) drawing.append(s("rect", { x: X(last[1], last[2]) - .48, y: last[1] - .48, width: .96, height: .96, rx: .1, class: "last" }));
  const said = h("p.soft.small", { role: "status" }), name = `${value.game}, ${rows} by ${columns}`;
  const shown = h("p.small", value.note || (value.turn ? `${value.pieces[value.turn - 1]} to move` : "the game is over"), last ? `; last move ${spot(last[1], last[2], rows, value.down)}` : "");
  drawing.setAttribute("aria-label", play ? `${name}. Arrow keys choose a point, Enter plays it` : name);
  if (play) {
    let at = play.at || [Math.floor(rows / 2), Math.floor(columns / 2)];
    const mark = s("rect", { width: .9, height: .9, rx: .12, class: "at" });
    drawing.append(mark);
    const go = (r, c) => { at = play.at = [Math.max(0, Math.min(rows - 1, r)), Math.max(0, Math.min(columns - 1, c))]; mark.setAttribute("x", X(...at) - .45); mark.setAttribute("y", at[0] - .45);
      const piece = value.board[at[0]][at[1]]; said.textContent = `${spot(...at, rows, value.down)}: ${piece ? value.pieces[piece - 1] : "empty"}${heat?.[at[0]]?.[at[1]] ? `, ${(100 * heat[at[0]][at[1]] / sum).toFixed(1)} %` : ""}`; };
    go(...at);
    said.textContent = "Click a point, or choose one with the arrow keys and press Enter.";
    drawing.addEventListener("keydown", (event) => {
      const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (by) { event.preventDefault(); go(at[0] + by[0], at[1] + by[1]); }
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); play(...at); }
    });
    drawing.addEventListener("click", (event) => {
      const spotted = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse()), r = Math.round(spotted.y), c = Math.round(spotted.x - lean * r);
      if (r >= 0 && c >= 0 && r < rows && c < columns) { go(r, c); play(r, c); }
    });
  }
  return h("div.position", drawing, shown, play && said);
}

/** The chance to win of each side, as one bar. */
export function chances(value) {
  if (value.win == null) return null;
  const share = Math.round(100 * value.win);
  return h("div.chances", { role: "img", "aria-label": `${value.pieces[0]} wins with ${share} percent` },
    h("span.small", `${value.pieces[0]} ${share} %`), h("span.both", h("i", { style: { width: `${share}%` } })), h("span.small", `${100 - share} % ${value.pieces[1] || ""}`));
}

/** The moves of a search, each with its replies, to be opened. */
export function tree(nodes, depth = 0) {
  return h("ul.tree", nodes.map(([name, visits, win, replies]) => {
    const line = [h("b", name), h("span.soft.small.num", ` ${visits.toLocaleString("en")} visits${win == null ? "" : `, ${Math.round(100 * win)} %`}`)];
    return h("li", replies.length ? h("details", { open: false }, h("summary", line), tree(replies, depth + 1)) : line);
  }));
}

/** Board, bar and tree, to be looked at. */
export function board(value, options = {}) {
  return h("div.stack", position(value, options), chances(value), value.tree?.length ? h("details", h("summary", "What it looked at"), tree(value.tree)) : null);
}
