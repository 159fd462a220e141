// The learning-rate quiz: four real trainings that differ in their rate alone; which curve is which?
import { h, fill, choice, digits, field } from "../dom.js";
import { get } from "../api.js";
import { chart } from "../chart.js";

export const title = "Learning-rate quiz";
const NAMES = ["A", "B", "C", "D", "E"];
const score = { right: 0, asked: 0, told: new Set() };

/** The curves of a round in an order that follows from its number alone: a link shows the same round to all. */
function shuffled(curves, round) {
  let state = round * 2654435761 + 1;
  const order = curves.map((curve) => [(state = (state * 1664525 + 1013904223) >>> 0), curve]);
  return order.sort((a, b) => a[0] - b[0]).map(([, curve]) => curve);
}

/** What the figures say of a curve beside the best one. */
function why(curve, curves) {
  const last = (c) => c.y[c.y.length - 1], best = curves.reduce((a, b) => (last(b) < last(a) ? b : a));
  const fact = `the loss ends at ${digits(last(curve), 3)}, ${digits(curve.error, 3)} % errors on the test data`;
  if (curve === best) return `the best of these: ${fact}`;
  return curve.rate < best.rate ? `too low, its steps are too short for the time: ${fact}` : `too high, its steps leap over the valley: ${fact}`;
}

export async function open(root, [number], _, shell) {
  const { rounds } = await get("quiz"), round = Math.abs(parseInt(number, 10) || 0);
  const asked = rounds[round % rounds.length], curves = shuffled(asked.curves, round);
  const rates = curves.map((c) => c.rate).sort((a, b) => a - b), guesses = new Array(curves.length).fill("");
  const picture = h("div.card"), verdict = h("div", { role: "status", "aria-live": "polite" }), tally = h("p.soft");
  const answer = h("button.main", { type: "button", disabled: true, onclick: tell }, "Answer");
  const picks = curves.map((_, i) => choice([["", "choose"], ...rates.map((r) => [String(r), String(r)])], "", (value) => {
    guesses[i] = value;
    answer.disabled = guesses.some((guess) => !guess);
  }));

  function count() { tally.textContent = score.asked ? `${score.right} of ${score.asked} curves right so far.` : ""; }

  function tell() {
    const right = curves.map((c, i) => Number(guesses[i]) === c.rate);
    if (!score.told.has(round)) {
      score.told.add(round);
      score.asked += curves.length;
      score.right += right.filter(Boolean).length;
    }
    answer.disabled = true;
    for (const pick of picks) pick.disabled = true;
    fill(verdict, h("h2", `${right.filter(Boolean).length} of ${curves.length} right`), h("ul", curves.map((c, i) => h("li",
      h("b", { className: right[i] ? "good" : "bad" }, `${right[i] ? "✓" : "✗"} ${NAMES[i]} is ${c.rate}`), `: ${why(c, curves)}`))),
      h("p.soft.small", "Each curve is a training that you can repeat: ", h("code", curves[0].command)));
    count();
  }

  fill(root, h("h1", title), h("p.lead", `Four trainings of ${asked.system}, ${asked.steps} updates each, alike in all but their learning rate. Which curve has which?`),
    h("div.split", h("div.card", curves.map((_, i) => field(`Curve ${NAMES[i]}`, picks[i])), h("div.row", answer,
      h("a.button", { href: `#/quiz/${round + 1}` }, "Next round")), tally), h("div.stack", picture, verdict)));
  const drawn = chart(picture, { xlabel: "updates", ylabel: "training loss", height: 340, logy: true });
  drawn.set(curves.map((c, i) => ({ label: NAMES[i], x: c.x, y: c.y })));
  count();
  return () => drawn.close();
}
