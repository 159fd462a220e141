// Lectures: an introductory course, slide by slide: what to open, what is seen there, and the command that makes it anew.
import { h, fill } from "../dom.js";
import { get } from "../api.js";

export const title = "Lectures";

export async function open(root, [number]) {
  const course = await get("lectures");
  const parts = course.lectures.map((lecture, i) => h("section", { id: `lecture-${i + 1}`, tabIndex: -1, "aria-labelledby": `lecture-${i + 1}-name`, style: { scrollMarginTop: "80px" } },
    h("h2", { id: `lecture-${i + 1}-name` }, `${i + 1}. ${lecture.title}`), h("div.grid", lecture.slides.map(slide))));
  fill(root, h("h1", title), h("p.lead", course.lead),
    h("nav.card", { "aria-label": "Lectures", style: { marginBottom: "24px" } }, parts.map((_, i) => h("a", { href: `#/lectures/${i + 1}` }, `${i + 1}. ${course.lectures[i].title}`))),
    h("div.stack", parts));
  const part = parts[number - 1];
  if (!part) return;
  await new Promise(requestAnimationFrame);
  part.focus({ preventScroll: true });
  part.scrollIntoView();
}

function slide({ says, link, command, picture }) {
  return h("article.card", { style: { display: "flex", flexDirection: "column" } }, h("p", h("b", says)), h("p.small", { style: { flex: 1 } }, "You see: ", picture),
    h("p", h("a.button", { href: link, "aria-label": `${place(link)}: ${says}` }, place(link))),
    h("code", { style: { overflowWrap: "anywhere" } }, command));
}

/** A view's address as words: "#/look/shipped:lenet?part=inside" -> "Look: lenet". */
function place(link) {
  const [view, name] = decodeURIComponent(link).slice(2).split("?")[0].split("/");
  return `${view ? view[0].toUpperCase() + view.slice(1) : "Timeline"}${name ? `: ${name.replace("shipped:", "")}` : ""}`;
}
