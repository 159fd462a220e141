// What an experiment is, and its link: all that differs from the defaults stands in the address.

export const DEFAULTS = {
  problem: "classes", data: "circle", formula: "", classes: 2, examples: 500, noise: 0, share: 50, batch: 10, seed: 0,
  inputs: ["x", "y"], hidden: [4, 2], activation: "tanh", squared: false, method: "sgd", lr: 0.1, penalty: "none", decay: 0,
  changes: [],
};
const SHOWN = { speed: "epoch", test: false, discrete: false, until: 0, hide: [], say: "" };
const LISTS = ["inputs", "hidden", "changes", "hide"], PLACE = 5000;

/** Names of the controls that a teacher can hide -> words. */
export const PARTS = {
  play: "Play", step: "Step", reset: "Reset", speed: "Speed and end", problem: "Problem", data: "Data sets", own: "Own data",
  noise: "Noise and points", share: "Share for training", batch: "Batch size", seed: "Seed", inputs: "Inputs",
  layers: "Layers and units", weights: "Weights", activation: "Activation", method: "Step rule", lr: "Learning rate",
  penalty: "Regularisation", loss: "Loss", test: "Test points", discrete: "Hard boundary", curve: "Curve",
  landscape: "Loss landscape", script: "PyTorch script", lessons: "Lessons",
};

export const LESSONS = [
  ["A unit draws a line", "data=gauss&hidden=0", "One unit without a hidden layer divides the plane by a straight line; two clouds need no more."],
  ["XOR needs a hidden layer", "data=xor&hidden=0", "No straight line divides these classes: the loss stays near 0.69. Add a hidden layer with + and press Play again."],
  ["The right inputs do the work", "data=circle&hidden=0&inputs=x^2,y^2", "With squares as inputs a net without hidden units draws a circle. Take x1 and x2 instead, and it cannot."],
  ["A spiral wants width", "data=spiral&hidden=8,8&method=adam&lr=0.01&share=80&speed=fast", "Two layers of eight units and Adam wind around both arms. Try with fewer units, or with plain descent."],
  ["Learning the noise", "data=gauss&noise=50&share=10&hidden=8,8&method=adam&lr=0.03&test=1&speed=fast&seed=2", "Few and noisy points: the training loss falls to nothing while the test loss rises. Choose L2 with rate 0.03, and compare."],
  ["A rate too large", "data=circle&lr=10", "Steps that are too long jump over the valley: the loss leaps about. Lower the rate while it trains."],
  ["Hills and hollows", "problem=values&data=hills&hidden=8,8&lr=0.03&method=momentum&speed=fast", "Regression: the net draws a landscape of values. Each hidden unit adds one slope or bend to it."],
];

/** The state that a link says. Unknown words are left out; what is out of range the server refuses in words. */
export function read(params) {
  const state = structuredClone({ ...DEFAULTS, ...SHOWN, own: null });
  for (const [name, base] of Object.entries({ ...DEFAULTS, ...SHOWN })) {
    if (!params.has(name)) continue;
    const text = params.get(name);
    if (LISTS.includes(name)) {
      const items = text === "" || (name === "hidden" && text === "0") ? [] : text.split(",");
      state[name] = name === "hidden" ? items.map(Number) : items;
    } else state[name] = typeof base === "number" ? Number(text) : typeof base === "boolean" ? text === "1" : text;
  }
  if (params.has("points")) {
    const own = { rows: decoded(params.get("points")), labels: [], axes: [] };
    for (const name of ["labels", "axes"]) try { own[name] = [JSON.parse(params.get(name) || "[]")].flat(); } catch { /* stays empty */ }
    if (!own.axes.every((a) => Array.isArray(a) && a.length === 3)) own.axes = [];
    state.own = own;
  }
  return state;
}

/** The address of a state. */
export function address(state) {
  const query = new URLSearchParams();
  for (const [name, base] of Object.entries({ ...DEFAULTS, ...SHOWN })) {
    const value = state[name];
    if (JSON.stringify(value) === JSON.stringify(base)) continue;
    if (LISTS.includes(name)) query.set(name, value.length ? value.join(",") : "0");
    else query.set(name, typeof value === "boolean" ? Number(value) : value);
  }
  if (state.data === "own" && state.own) {
    query.set("points", encoded(state.own.rows));
    if (state.own.labels.length) query.set("labels", JSON.stringify(state.own.labels));
    if (state.own.axes.length) query.set("axes", JSON.stringify(state.own.axes));
  }
  const text = query.toString().replaceAll("%2C", ",").replaceAll("%5E", "^").replaceAll("%3A", ":").replaceAll("%3D", "=");
  return `#/playground${text ? `?${text}` : ""}`;
}

/** What the desk is told of it. */
export function settings(state) {
  return Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, state[name]]));
}

/** Whole numbers of 16 bits as text for a link, and back. */
export function encoded(rows) {
  let text = "";
  for (const n of rows) text += String.fromCharCode(n & 255, (n >> 8) & 255);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
export function decoded(text) {
  let raw = "";
  try { raw = atob(text.replaceAll("-", "+").replaceAll("_", "/")); } catch { /* no points */ }
  return Array.from({ length: 3 * Math.floor(raw.length / 6) }, (_, i) => ((raw.charCodeAt(2 * i) | (raw.charCodeAt(2 * i + 1) << 8)) << 16) >> 16);
}
export const bytes = (rows) => Int16Array.from(rows);
export const whole = (x, unit = PLACE) => Math.max(-32767, Math.min(32767, Math.round(x * unit)));
