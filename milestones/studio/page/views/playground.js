// The playground: a small net in the plane that is built, trained, bent by hand and looked through while it learns.
import { h, fill, field, choice, digits, styles, toast } from "../dom.js";
import { desk } from "../api.js";
import { chart } from "../chart.js";
import { DEFAULTS, LESSONS, PARTS, read, address, settings, bytes, whole } from "./playground/state.js";
import { CLASSES, plane, thumbnail, ground } from "./playground/map.js";
import { net } from "./playground/net.js";

export const title = "Playground";

const RATES = [1e-5, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10], DECAYS = [0, ...RATES.slice(2)];
const INPUTS = [["x", "x1"], ["y", "x2"], ["x^2", "x1²"], ["y^2", "x2²"], ["x*y", "x1·x2"], ["sin(x)", "sin x1"], ["sin(y)", "sin x2"]];
const SETS = {
  classes: [["circle", "circle"], ["xor", "XOR"], ["gauss", "clouds"], ["spiral", "spiral"], ["moons", "moons"], ["above", "y > f(x)"]],
  values: [["plane", "plane"], ["hills", "hills"], ["surface", "f(x, y)"]],
};
const FASTEST = 1_000_000, VALUE = 30000;
const nameOf = (input) => INPUTS.find(([text]) => text === input)?.[1] || input;

export async function open(root, words, params, shell) {
  await styles("playground");
  let state = read(params), playing = false, closed = false, turn = 0, told = null, curve = [], have = 0, pending = null, sending = false, brush = 0, drawing = "", drawn = 0, settle, samples = {};
  let formulas = {};
  const problem = h("p.error", { role: "alert", hidden: true }), note = h("p.note", { hidden: true });
  const part = (name, ...children) => h("div.part", { "data-part": name }, ...children);
  const wrong = (text) => { problem.textContent = text; problem.hidden = !text; };

  // The desk: one question after the other; a new desk (a lost connection) is brought to where the last one was.
  const ask = (header, payload) => desk.ask({ do: "playground", have, ...header }, payload);
  const alone = (text) => /experiment that was set|closed|ended|Reload|browsers at once/.test(text);

  async function set(goal = 0) {
    const mine = ++turn;
    shell.address(address(state));
    try {
      const payload = state.data === "own" && state.own ? bytes(state.own.rows) : undefined;
      const answer = await ask({ do: "steer", what: "set", settings: settings(state), labels: state.own?.labels, have: 0 }, payload);
      if (closed || mine !== turn) return;
      wrong("");
      curve = []; have = 0; pending = null;
      shape(answer);
      while (told.step < goal && !told.halted) {
        const more = await ask({ updates: goal - told.step });
        if (closed || mine !== turn) return;
        draw(more);
      }
      if (playing) loop();
    } catch (reason) { if (!closed && mine === turn) { wrong(reason.message); playing = false; buttons(); } }
  }

  function shape(answer) {
    told = answer;
    const { settings: made, layers, labels, cut, scale } = answer, points = answer.arrays.points.data;
    graph.shape(layers, made.inputs.map(nameOf), labels);
    const classes = made.problem === "classes" ? Math.max(2, labels.length) : 0;
    if (!drawing || state.data !== "own") map.show({ classes, points: Array.from({ length: points.length / 3 }, (_, i) => [points[3 * i], points[3 * i + 1], classes ? points[3 * i + 2] : (points[3 * i + 2] - scale[0]) / scale[1], i >= cut]) });
    legend(made, labels, scale);
    draw(answer);
    shell.address(address(state));
    controls();
  }

  function draw(answer) {
    if (answer.from !== have) return;
    for (let i = 0; i < answer.arrays.curve.data.length; i += 4) curve.push([...answer.arrays.curve.data.subarray(i, i + 4)]);
    have = curve.length;
    told = { ...told, ...answer };
    state.changes = answer.changes;
    map.output(answer.arrays.output);
    graph.frame(answer);
    numbers();
    if (performance.now() - drawn > 120 || !playing) drawCurve();
    buttons();
  }

  async function loop() {
    const mine = turn;
    while (playing && !closed && mine === turn) {
      const left = state.until ? state.until * told.per_epoch - told.step : FASTEST;
      if (left <= 0 || told.halted) { playing = false; break; }
      const size = state.speed === "slow" ? 1 : state.speed === "fast" ? FASTEST : told.per_epoch;
      try {
        const answer = await ask({ updates: Math.min(size, left) });
        if (closed || mine !== turn) return;
        draw(answer);
      } catch (reason) { if (!closed && mine === turn) await again(reason); return; }
      await new Promise(requestAnimationFrame);
    }
    if (mine === turn && told) { drawCurve(); buttons(); shell.address(address(state)); }
  }

  async function again(reason) {
    if (!alone(reason.message)) { wrong(reason.message); playing = false; buttons(); return; }
    wrong("The connection was lost; the experiment is trained again up to here.");
    await new Promise((done) => setTimeout(done, 1000));
    if (!closed) await set(told?.step || 0);
  }

  /** Change a weight, bias or rate while it trains; of what comes faster than it is answered the last counts. */
  async function change(text) {
    pending = { ...pending, [text.split("=")[0]]: text };
    if (sending) return;
    sending = true;
    while (pending && !closed) {
      const texts = Object.values(pending);
      pending = null;
      try { draw(await ask({ do: "steer", what: "change", changes: texts })); wrong(""); shell.address(address(state)); } catch (reason) {
        sending = false;
        await again(reason);
        return;
      }
    }
    sending = false;
  }

  // What the settings change: some at once, the others begin anew.
  const begin = (more) => { Object.assign(state, more, { changes: [] }); set(); };
  function rate(name, value) {
    if (told?.step) change(`${name}=${value}`); else begin({ [name]: value });
  }
  function play(on = !playing) {
    playing = on && !told?.halted;
    if (playing && state.until && told.step >= state.until * told.per_epoch) playing = false;
    buttons();
    if (playing) loop();
  }
  async function step() {
    playing = false;
    const goal = state.speed === "slow" ? told.step + 1 : told.step + told.per_epoch - (told.step % told.per_epoch), mine = turn;
    try { while (told.step < goal && !told.halted && mine === turn) draw(await ask({ updates: goal - told.step })); } catch (reason) { again(reason); }
    drawCurve();
    buttons();
  }
  const reset = (keep) => { const more = keep ? {} : { changes: [], lr: told?.lr ?? state.lr, decay: told?.decay ?? state.decay }; playing &&= keep; Object.assign(state, more); set(); };

  // Top line.
  const playButton = h("button.main", { type: "button", onclick: () => play() }, "Play"), stepButton = h("button", { type: "button", onclick: step }, "Step");
  const resetButton = h("button", { type: "button", onclick: () => reset(false) }, "Reset"), replay = h("button", { type: "button", hidden: true, onclick: () => reset(true) }, "Replay");
  const epoch = h("output.num.big", "0"), updates = h("span.num.small.soft");
  const until = h("input.num", { type: "number", min: 0, max: 100000, onchange: () => { state.until = Math.max(0, Math.round(until.valueAsNumber || 0)); shell.address(address(state)); } });
  const speed = choice([["slow", "one update a frame"], ["epoch", "one epoch a frame"], ["fast", "as fast as it can"]], state.speed, (v) => { state.speed = v; shell.address(address(state)); });
  function buttons() {
    playButton.textContent = playing ? "Pause" : "Play";
    playButton.disabled = !told || (told.halted && !playing);
    stepButton.disabled = !told || told.halted;
    stepButton.title = state.speed === "slow" ? "one update" : "to the end of the epoch";
    replay.hidden = !state.changes.length;
    replay.textContent = `Replay with ${state.changes.length} change${state.changes.length > 1 ? "s" : ""}`;
  }
  let diverged = false;
  function numbers() {
    epoch.textContent = digits(Math.floor(told.step / told.per_epoch));
    updates.textContent = `${digits(told.step)} updates`;
    const [loss, error, testLoss, testError] = told.now, values = state.problem === "values";
    const figure = (name, loss, error) => h("div", h("span.small.soft", name), h("b.num", loss == null ? "–" : loss.toFixed(4)), h("span.small.num", values ? `mean distance ${digits(error, 3)}` : `${digits(error, 3)} % wrong`));
    fill(figures, figure("Training loss", loss, error), figure("Test loss", testLoss, testError));
    if (told.diverged !== diverged) { diverged = told.diverged; wrong(diverged ? "The loss is no number any more: the steps were too long. Lower the learning rate and press Reset." : ""); }
  }

  // The settings.
  const made = {};
  const select = (name, options, label, hint = "") => { const node = choice(options, String(state[name]), (v) => begin({ [name]: typeof DEFAULTS[name] === "boolean" ? v === "true" : typeof DEFAULTS[name] === "number" ? Number(v) : v })); made[name] = node; return field(label, node, hint); };
  const slider = (name, min, max, stepSize, label, unit = "") => {
    const shown = h("span.num.soft"), node = h("input", { type: "range", min, max, step: stepSize, value: state[name], oninput: () => { shown.textContent = `${node.value}${unit}`; }, onchange: () => begin({ [name]: Number(node.value) }) });
    made[name] = node;
    node.tell = () => { node.value = state[name]; shown.textContent = `${state[name]}${unit}`; };
    const whole = field(label, node);
    whole.firstChild.append(" ", shown);
    return whole;
  };
  const rated = (name, values, label) => {
    const node = choice(values.map(String), String(state[name]), (v) => rate(name, Number(v)));
    made[name] = node;
    node.tell = (value) => { const text = String(value); if (![...node.options].some((o) => o.value === text)) node.append(h("option", { value: text }, text)); node.value = text; };
    return field(label, node);
  };
  const settingsRow = h("div.settings",
    part("problem", field("Problem", made.problem = choice([["classes", "Classification"], ["values", "Regression"]], state.problem, (v) => { drawing = ""; begin({ problem: v, data: v === "values" ? "hills" : "circle", classes: 2, formula: "" }); }))),
    part("loss", select("squared", [["false", "Cross-entropy"], ["true", "Squared error"]], "Loss")),
    part("activation", select("activation", [["tanh", "Tanh"], ["relu", "ReLU"], ["logistic", "Sigmoid"], ["linear", "Linear"]], "Activation")),
    part("method", select("method", [["sgd", "SGD"], ["momentum", "Momentum"], ["nesterov", "Nesterov"], ["adagrad", "Adagrad"], ["rmsprop", "RMSprop"], ["adam", "Adam"]], "Step rule")),
    part("lr", rated("lr", RATES, "Learning rate")),
    part("penalty", select("penalty", [["none", "None"], ["l1", "L1"], ["l2", "L2"]], "Regularisation"), rated("decay", DECAYS, "Its rate")));

  // Data.
  const setButtons = h("div.sets", { role: "group", "aria-label": "Data sets" }), formula = h("input.mono", { type: "text", maxLength: 300, spellcheck: false, onchange: () => begin({ formula: formula.value }) }), formulaField = field("Formula", formula, "");
  const classCount = choice(["2", "3", "4"], String(state.classes), (v) => begin({ classes: Number(v) })), classField = field("Classes", classCount);
  const seed = h("input.num", { type: "number", min: 0, max: 2147483647, onchange: () => begin({ seed: Math.max(0, Math.round(seed.valueAsNumber || 0)) }) });
  const brushes = h("div.row.brushes", { role: "group", "aria-label": "What to draw" }), file = h("input", { type: "file", accept: ".csv,.tsv,.txt,text/csv", className: "visually-hidden", tabIndex: -1, onchange: load });
  const drawButton = h("button", { type: "button", onclick: () => draws(drawing ? "" : "add") }, "Draw points"), ownNote = h("p.small.soft", { role: "status" });
  const data = h("section.card.data", { "aria-label": "Data" }, h("h2", "Data"), part("data", setButtons, classField, formulaField),
    part("noise", slider("noise", 0, 50, 5, "Noise", " %"), slider("examples", 50, 2000, 50, "Points")),
    part("share", slider("share", 10, 90, 10, "For training", " %")),
    part("batch", slider("batch", 1, 60, 1, "Batch size")),
    part("seed", field("Seed", seed), h("button", { type: "button", onclick: () => begin({ seed: (state.seed + 1) % 2147483648 }) }, "Regenerate")),
    part("own", h("h3", "Your own"), h("div.row", drawButton, h("button", { type: "button", onclick: () => file.click() }, "Load CSV"), file), brushes, ownNote));

  const canDraw = () => state.data === "own" && state.own;
  function draws(mode) {
    if (mode && !canDraw()) {
      const points = told.arrays.points.data, [middle, half] = told.scale, rows = [];
      for (let i = 0; i < points.length && i < 6000; i += 3) rows.push(whole(points[i]), whole(points[i + 1]), state.problem === "classes" ? points[i + 2] : whole((points[i + 2] - middle) / half, VALUE));
      state.own = { rows, labels: state.problem === "classes" ? told.labels : [], axes: [] };
      drawing = mode;
      begin({ data: "own", formula: "" });
    }
    drawing = mode;
    ownPoints();
    controls();
    if (mode) map.node.querySelector(".over").focus();
  }
  function ownPoints() {
    const { rows } = state.own || { rows: [] }, classes = state.problem === "classes" ? 4 : 0;
    if (canDraw() && drawing) map.show({ classes, drawing, points: Array.from({ length: rows.length / 3 }, (_, i) => [rows[3 * i] / 5000, rows[3 * i + 1] / 5000, classes ? rows[3 * i + 2] : rows[3 * i + 2] / VALUE, false]) });
    else map.show({ drawing });
  }
  function edited(rows) {
    state.own = { ...state.own, rows };
    ownPoints();
    ownNote.textContent = rows.length < 12 ? `${rows.length / 3} of at least 4 points` : `${digits(rows.length / 3)} points`;
    clearTimeout(settle);
    if (rows.length >= 12) settle = setTimeout(() => { if (!closed) begin({ data: "own" }); }, 150);
  }
  function add(x, y) { if (canDraw() && state.own.rows.length < 6000) edited([...state.own.rows, whole(x), whole(y), state.problem === "classes" ? brush : whole(brush, VALUE)]); }
  function erase(x, y) {
    const { rows } = state.own;
    let best = -1, least = 0.7;
    for (let i = 0; i < rows.length; i += 3) { const away = Math.hypot(rows[i] / 5000 - x, rows[i + 1] / 5000 - y); if (away < least) [best, least] = [i, away]; }
    if (best >= 0) edited(rows.filter((_, i) => i < best || i >= best + 3));
  }
  async function load() {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    if (chosen.size > 1 << 20) { wrong(`playground: expected a file of at most 1 MB, got ${(chosen.size / 1e6).toFixed(1)} MB. Take a part of it.`); return; }
    try {
      const answer = await desk.ask({ do: "steer", what: "read", problem: state.problem }, await chosen.arrayBuffer());
      drawing = "";
      state.own = { rows: [...answer.arrays.rows.data], labels: answer.labels, axes: answer.axes };
      begin({ data: "own", formula: "" });
      ownNote.textContent = `${digits(answer.arrays.rows.data.length / 3)} rows, stretched to the plane`;
    } catch (reason) { wrong(reason.message); }
  }

  // The net's head, the inputs.
  const layerCount = h("span.num"), fewer = h("button.tiny", { type: "button", "aria-label": "One hidden layer less", onclick: () => begin({ hidden: state.hidden.slice(0, -1) }) }, "−"), more = h("button.tiny", { type: "button", "aria-label": "One hidden layer more", onclick: () => begin({ hidden: [...state.hidden, state.hidden.at(-1) || 4] }) }, "+");
  const inputBoxes = h("div.inputs", { role: "group", "aria-label": "Inputs" }), ownInput = h("input.mono", { type: "text", placeholder: "cos(x)*y", "aria-label": "Another input, a formula of x and y", maxLength: 60, spellcheck: false, onkeydown: (event) => { if (event.key === "Enter") addInput(); } });
  function addInput() { const text = ownInput.value.trim(); if (text && !text.includes(",") && !state.inputs.includes(text)) { ownInput.value = ""; begin({ inputs: [...state.inputs, text] }); } }
  const graph = net({ change, resize: (hidden) => begin({ hidden }), fixed: () => state.hide.includes("weights") });
  const map = plane({ add, erase });
  const figures = h("div.figures"), curveNode = h("div"), key = h("div.key.small");
  const curves = chart(curveNode, { xlabel: "epoch", ylabel: "loss", height: 190 });
  function drawCurve() {
    drawn = performance.now();
    const every = Math.ceil(curve.length / 1500), at = curve.map((_, i) => i).filter((i) => i % every === 0 || i === curve.length - 1), y = (k) => at.map((i) => (Number.isFinite(curve[i]?.[k]) ? curve[i][k] : null));
    if (curve.length < 2) at.push(1);  // a line is made of two
    curves.set({ label: "training", x: at, y: y(0), color: "--s1" }, { label: "test", x: at, y: y(2), color: "--s2", dash: true });
  }
  function legend(made, labels, [middle, half]) {
    const axes = state.data === "own" ? state.own?.axes || [] : [], said = (axis, text) => axis && `${text}: ${axis[0]} from ${digits(axis[1])} to ${digits(axis[2])}`;
    const ends = axes[2] ? [axes[2][1], axes[2][2]] : [middle - half, middle + half];
    fill(key, made.problem === "classes" ? h("div.row", labels.map((label, k) => h("span.row", h("i", { className: `swatch shape-${k}`, style: { background: `var(${CLASSES[k]})` } }), label)))
      : h("div.row", h("span.num", digits(ends[0], 3)), h("i.scale"), h("span.num", digits(ends[1], 3))),
      axes.length ? h("span.soft", [said(axes[0], "across"), said(axes[1], "up")].filter(Boolean).join("; ")) : null);
  }

  // Loss landscape.
  const groundCanvas = h("canvas.ground", { role: "img", "aria-label": "Training loss around the weights, with the path of the training", hidden: true }), groundNote = h("p.small.soft", { role: "status" }), groundButton = h("button", { type: "button", onclick: survey }, "Draw the loss around the weights");
  let surveyed = null;
  async function survey() {
    const mine = turn;
    groundButton.disabled = true;
    try {
      await desk.ask({ do: "terrain" }, undefined, (answer) => {
        if (closed || mine !== turn) return;
        surveyed = answer;
        groundCanvas.hidden = false;
        ground(groundCanvas, answer);
        const heights = [...answer.arrays.heights.data].filter(Number.isFinite);
        groundNote.textContent = `The plane that holds most of the path: ${answer.shares.map((s) => `${(100 * s).toFixed(1)} %`).join(" + ")} of it. Loss here ${digits(answer.here, 3)}, on the map ${digits(Math.min(...heights), 3)} to ${digits(Math.max(...heights), 3)} (dark is low). Square: the start; circle: now.`;
      });
    } catch (reason) { groundNote.textContent = reason.message; }
    groundButton.disabled = false;
  }

  // The script, the lessons, the link for a class.
  const text = h("pre.script", { tabIndex: 0, "aria-label": "The script" }), scriptBox = h("dialog.script-box", { "aria-label": "PyTorch script" });
  async function script() {
    try {
      const answer = await desk.ask({ do: "script" });
      text.textContent = answer.script;
      fill(scriptBox, h("h2", "The same experiment in plain PyTorch"), h("p.small.soft", `Runs alone and prints this curve, ${answer.epochs} epoch${answer.epochs > 1 ? "s" : ""} of it.`), text,
        h("div.row", h("button.main", { type: "button", onclick: () => copy(answer.script) }, "Copy"), h("a.button", { download: "playground.py", href: URL.createObjectURL(new Blob([answer.script], { type: "text/x-python" })) }, "Download"), h("button", { type: "button", onclick: () => scriptBox.close() }, "Close")));
      scriptBox.showModal();
    } catch (reason) { wrong(reason.message); }
  }
  async function copy(words) { try { await navigator.clipboard.writeText(words); toast("Copied"); } catch { toast("Select the text and copy it: the browser does not allow it here"); } }
  const lessonBox = h("dialog", { "aria-label": "Make a link for a lesson" });
  function lesson() {
    const hide = new Set(state.hide), say = h("textarea", { rows: 2, maxLength: 400, value: state.say, oninput: link }), shown = h("textarea.mono", { rows: 3, readOnly: true, "aria-label": "The link" });
    function link() { shown.value = location.href.split("#")[0] + address({ ...state, hide: [...hide], say: say.value.trim(), changes: state.changes }); }
    link();
    fill(lessonBox, h("h2", "Make a link for a lesson"), h("p.small.soft", "The link holds this experiment, changes by hand and own points included. Choose what the class shall not see."),
      field("A task or a question, shown above", say),
      h("fieldset.hides", h("legend.small", "Hide"), Object.entries(PARTS).map(([name, words]) => h("label.row.small", h("input", { type: "checkbox", value: name, checked: hide.has(name), onchange: (event) => { hide[event.target.checked ? "add" : "delete"](name); link(); } }), words))), shown,
      h("div.row", h("button.main", { type: "button", onclick: () => copy(shown.value) }, "Copy the link"), h("button", { type: "button", onclick: () => { state.hide = [...hide]; state.say = say.value.trim(); shell.address(address(state)); hides(); lessonBox.close(); } }, "Show it so"), h("button", { type: "button", onclick: () => lessonBox.close() }, "Close")));
    lessonBox.showModal();
  }
  const lessons = choice([["", "Choose a lesson"], ...LESSONS.map(([name], i) => [String(i), name])], "", (i) => {
    if (i === "") return;
    const [, query, sentence] = LESSONS[i];
    playing = false; drawing = "";
    state = { ...read(new URLSearchParams(query)), hide: state.hide, say: sentence };
    speed.value = state.speed;
    ownPoints(); hides(); set();
  });
  lessons.setAttribute("aria-label", "Lessons");

  const tick = (name, label) => { const node = h("input", { type: "checkbox", checked: state[name], onchange: () => { state[name] = node.checked; map.show({ [name]: node.checked }); shell.address(address(state)); } }); made[name] = node; return part(name, h("label.row.small", node, label)); };
  fill(root, h("div.row.spread", h("div", h("h1", "Playground"), h("p.lead", "Build a small net, watch each unit while it learns, and change anything on the way.")),
    h("div.row", part("lessons", lessons), h("button", { type: "button", onclick: lesson }, "Make a link for a lesson"))),
  note, problem,
  h("section.card.top-bar", { "aria-label": "Training" }, h("div.row.player", part("play", playButton), part("step", stepButton), part("reset", resetButton), replay,
    h("div.epochs", h("span.small.soft", "Epoch"), epoch, updates), part("speed", field("Speed", speed), field("Stop at epoch", until, ""))), settingsRow),
  h("div.board", data,
    h("section.card.middle", { "aria-label": "Net" }, h("div.row.spread", h("h2", "Net"), part("layers", h("div.row.pair", fewer, layerCount, more))), part("inputs", inputBoxes, h("div.row.another", ownInput, h("button", { type: "button", onclick: addInput }, "Add input"))), graph.node, graph.inspector),
    h("section.card.right", { "aria-label": "Output" }, figures, map.node, key, h("div.row", tick("test", "Test points (hollow)"), tick("discrete", "Hard boundary")), part("curve", curveNode))),
  h("div.lower", h("section.card", { "data-part": "landscape", "aria-label": "Loss landscape" }, h("h2", "Loss landscape"), groundButton, groundCanvas, groundNote),
    h("section.card", { "data-part": "script", "aria-label": "Script" }, h("h2", "Take it with you"), h("p.small.soft", "The same data, net, rule and changes by hand as a script that needs PyTorch alone, and prints the same losses."), h("button", { type: "button", onclick: script }, "Export as a PyTorch script"))), scriptBox, lessonBox);

  function hides() {
    for (const node of root.querySelectorAll("[data-part]")) node.hidden = state.hide.includes(node.dataset.part);
    root.querySelector(".data").hidden = ["data", "noise", "share", "batch", "seed", "own"].every((name) => state.hide.includes(name));
    settingsRow.hidden = ["problem", "loss", "activation", "method", "lr", "penalty"].every((name) => state.hide.includes(name));
    note.textContent = state.say;
    note.hidden = !state.say;
  }

  /** All controls as the state has it. */
  function controls() {
    for (const [name, node] of Object.entries(made)) {
      if (node.type === "checkbox") node.checked = state[name];
      else if (name === "lr" || name === "decay") node.tell(told?.[name] ?? state[name]);
      else if (node.tell) node.tell(); else node.value = String(state[name]);
    }
    const classes = state.problem === "classes", own = state.data === "own";
    made.decay.disabled = state.penalty === "none";
    made.noise.disabled = made.examples.disabled = own;
    seed.value = state.seed; until.value = state.until || ""; until.placeholder = "never"; speed.value = state.speed;
    layerCount.textContent = `${state.hidden.length} hidden layer${state.hidden.length === 1 ? "" : "s"}`;
    fewer.disabled = !state.hidden.length; more.disabled = state.hidden.length >= 6;
    if (setButtons.dataset.problem !== state.problem) {
      setButtons.dataset.problem = state.problem;
      fill(setButtons, SETS[state.problem].map(([name, label]) => h("button.set", { type: "button", "data-set": name, onclick: () => { drawing = ""; map.show({ drawing }); begin({ data: name, formula: formulas[name] || "", classes: ["moons", "above"].includes(name) ? 2 : state.classes }); } }, h("canvas", { "aria-hidden": "true" }), h("span.small", label))),
        h("button.set", { type: "button", "data-set": "own", hidden: true }, h("span.small", "your own")));
      thumbnails();
    }
    for (const button of setButtons.children) button.setAttribute("aria-pressed", String(button.dataset.set === state.data));
    setButtons.lastChild.hidden = !own;
    classField.hidden = !["circle", "xor", "gauss", "spiral"].includes(state.data);
    classCount.value = String(state.classes);
    formulaField.hidden = !["above", "surface"].includes(state.data);
    formulaField.firstChild.textContent = state.data === "above" ? "Class 1 where y > f(x), f(x) =" : "f(x, y) =";
    if (document.activeElement !== formula) formula.value = state.formula;
    const known = [...INPUTS, ...state.inputs.filter((text) => !INPUTS.some(([one]) => one === text)).map((text) => [text, text])];
    const names = JSON.stringify(known);
    if (inputBoxes.dataset.names !== names) {
      inputBoxes.dataset.names = names;
      fill(inputBoxes, known.map(([value, label]) => h("label.input-box.small", h("input", { type: "checkbox", value, onchange: (event) => begin({ inputs: event.target.checked ? [...state.inputs, value] : state.inputs.filter((one) => one !== value) }) }), label)));
    }
    for (const box of inputBoxes.querySelectorAll("input")) { box.checked = state.inputs.includes(box.value); box.disabled = box.checked && state.inputs.length === 1; }
    map.show({ test: state.test, discrete: state.discrete });
    drawButton.textContent = drawing ? "Stop drawing" : "Draw points";
    drawButton.setAttribute("aria-pressed", String(!!drawing));
    brushKeys(classes);
    hides();
    made.squared.closest(".part").hidden ||= !classes;
  }
  function brushKeys(classes) {
    const key = `${drawing}${classes}${brush}`;
    if (brushes.dataset.key === key) return;
    brushes.dataset.key = key;
    const value = h("input", { type: "range", min: -1, max: 1, step: 0.1, value: brush, "aria-label": "Value of new points", oninput: () => { brush = Number(value.value); } });
    fill(brushes, !drawing ? [] : [classes ? CLASSES.map((name, k) => h("button.tiny", { type: "button", "aria-pressed": String(drawing === "add" && brush === k), "aria-label": `Points of class ${k}`, onclick: () => { brush = k; drawing = "add"; ownPoints(); controls(); } }, h("i", { className: `swatch shape-${k}`, style: { background: `var(${name})` } }))) : value,
      h("button.tiny", { type: "button", "aria-pressed": String(drawing === "erase"), onclick: () => { drawing = drawing === "erase" ? "add" : "erase"; ownPoints(); controls(); } }, "Erase"), h("button.tiny", { type: "button", onclick: () => edited([]) }, "Clear"),
      h("p.small.soft", "Click or drag in the output. Keys: arrows move, Enter adds, Delete erases.")]);
  }
  function thumbnails() {
    for (const button of setButtons.querySelectorAll("[data-set]")) if (samples[button.dataset.set] && button.firstChild.getContext) thumbnail(button.firstChild, samples[button.dataset.set].data, state.problem === "classes");
  }
  const repaint = () => { thumbnails(); map.again(); graph.again(); if (surveyed && !groundCanvas.hidden) ground(groundCanvas, surveyed); };
  shell.onTheme.add(repaint);
  controls();
  buttons();
  set().then(() => desk.ask({ do: "steer", what: "sets" })).then((answer) => { samples = answer.arrays; formulas = answer.formulas; thumbnails(); }).catch(() => {});
  return () => { closed = true; playing = false; clearTimeout(settle); shell.onTheme.delete(repaint); curves.close(); map.close(); graph.close(); };
}
