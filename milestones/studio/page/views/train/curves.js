// The curves of one or several runs, from the lines of their logs.

/** Lines of one log as numbers by stage and name: {add(rows) -> cut back or not, clear(), last, stages}. */
export class Log {
  constructor() { this.clear(); }
  clear() { this.stages = new Map(); this.last = null; this.recent = []; this.vitals = 0; }
  /** Take rows in. False: they begin before the last one, as after a resume; then the log is to be read anew. */
  add(rows) {
    for (const row of rows) {
      if (row.vitals) { this.vitals++; continue; }
      if (typeof row.step !== "number") continue;
      const stage = this.stages.get(row.stage) || new Map();
      if (this.last && this.last.stage === row.stage && row.step <= this.last.step) return false;
      this.stages.set(row.stage, stage);
      for (const [name, value] of Object.entries(row)) {
        if (name === "step" || name === "seconds" || typeof value !== "number") continue;
        if (!stage.has(name)) stage.set(name, { x: [], y: [] });
        const line = stage.get(name);
        line.x.push(row.step);
        line.y.push(value);
      }
      this.last = row;
      this.recent.push([row.stage, row.step, row.seconds]);
      if (this.recent.length > 60) this.recent.shift();
    }
    return true;
  }
  /** Steps a second, over the last lines of the stage. */
  get pace() {
    const mine = this.recent.filter(([stage]) => stage === this.last?.stage), [first, last] = [mine[0], mine.at(-1)];
    return mine.length > 1 && last[2] > first[2] ? (last[1] - first[1]) / (last[2] - first[2]) : 0;
  }
}

/** What belongs on one chart: loss with valid_loss, error with valid_error; the rest each for itself. */
export const group = (name) => name.replace(/^valid_/, "");

/** Charts from logs: Map(group -> lines). `logs`: [[label, Log]], the run itself first. */
export function charts(logs) {
  const found = new Map(), several = logs.length > 1;
  logs.forEach(([run, log], number) => {
    for (const [stage, lines] of log.stages) {
      for (const [name, { x, y }] of lines) {
        const key = group(name);
        if (number && !found.has(key)) continue;  // what the run itself does not log is not compared
        if (!found.has(key)) found.set(key, []);
        const words = [several ? run : "", log.stages.size > 1 ? stage : "", name.replaceAll("_", " ")].filter(Boolean);
        const color = several ? `--s${1 + (number % 8)}` : undefined;
        found.get(key).push({ label: words.join(" "), x, y, color, dash: several && name !== key });
      }
    }
  });
  const first = (key) => (key === "loss" ? 0 : key === "error" ? 1 : 2);
  return new Map([...found].sort(([a], [b]) => first(a) - first(b)).slice(0, 12));
}
