// The samples that a run shows, each with its steps: the latest comes by itself unless an earlier one was chosen.
import { h, fill } from "../../dom.js";
import { get } from "../../api.js";
import { draw, kindOf } from "../../media.js";

/** {node, set(shows)}: shows as the server lists them. */
export function samples(run) {
  const grid = h("div.samples"), figures = new Map();
  let most = 8;  // shown at first; a run may have a hundred
  const rest = h("button", { type: "button", onclick: () => { most = Infinity; limit(); } });
  const node = h("section.stack", h("h2", "Samples"), grid, h("div", rest));

  function limit() {
    let number = 0;
    for (const made of figures.values()) made.see(number++ < most);
    rest.hidden = figures.size <= most;
    rest.textContent = `Show all ${figures.size} samples`;
  }

  function figure(key) {
    const held = h("div.held"), at = h("span.soft.small.num"), made = { files: [], file: "", latest: true, seen: false };
    const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": `Step of ${key}`, oninput: () => {
      made.latest = +slider.value === made.files.length - 1;
      view(made.files[+slider.value]);
    } });
    made.node = h("figure.card", h("figcaption.row.spread", h("b", key.replaceAll("_", " ")), at), held, slider);
    async function view(item) {
      at.textContent = `step ${item.step.toLocaleString("en")}`;
      if (made.file === item.file) return;
      made.file = item.file;
      const drawn = await picture(item).catch((problem) => h("p.soft.small", problem.message));
      if (made.file === item.file) fill(held, drawn);
    }
    made.see = (seen) => {
      made.node.hidden = !seen;
      if (seen && !made.seen) { made.seen = true; made.set(made.files); }
    };
    made.set = (files) => {
      made.files = files;
      if (!made.seen) return;
      slider.max = files.length - 1;
      slider.hidden = files.length < 2;
      if (made.latest) { slider.value = files.length - 1; view(files.at(-1)); }
      else if (+slider.value >= files.length) { made.latest = true; made.set(files); }
    };
    figures.set(key, made);
    grid.append(made.node);
    return made;
  }

  async function picture({ file, name }) {
    const address = `/api/runs/${encodeURIComponent(run)}/shows/${encodeURIComponent(file)}`;
    if (file.endsWith(".png")) {
      const image = h("img.pixel", { alt: `${name.replaceAll("_", " ")} of ${run}`, src: address });
      await image.decode();  // shown when it is whole: nothing flickers
      if (image.naturalWidth < 200) image.style.width = `${image.naturalWidth * Math.floor(300 / image.naturalWidth)}px`;
      return image;
    }
    if (file.endsWith(".wav")) return h("audio", { controls: true, src: address });
    if (file.endsWith(".txt")) return draw({ kind: "text", value: await (await fetch(address)).text() });
    const { value } = await get(address.slice(5));
    return draw({ kind: kindOf(value), value });
  }

  return {
    node,
    set(shows) {
      const by = new Map(), stages = new Set(shows.map((one) => one.stage)).size > 1;
      for (const one of shows) {
        const key = stages ? `${one.stage} ${one.name}` : one.name;
        by.set(key, [...(by.get(key) || []), one]);
      }
      for (const [key, files] of by) (figures.get(key) || figure(key)).set(files);
      for (const [key, made] of figures) if (!by.has(key)) { made.node.remove(); figures.delete(key); }
      limit();
      node.hidden = !by.size;
    },
  };
}
