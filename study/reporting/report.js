"use strict";
// What all parts of the page share: its data, what it remembers, the theme, enlarged figures, sorting.
// Whatever comes from data goes into the page as text (`textContent`), never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// An element: make("td", {class: "number"}, "1.5"). Children are elements or text.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "text", "rect", "circle", "clipPath"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// What survives a reload: toggles, search, scroll, camera. Where the browser keeps nothing from files, nothing survives.
const memory = {
  key: `study-report:${data.name}`,
  content: {},
  get(name, otherwise) { return name in this.content ? this.content[name] : otherwise; },
  set(name, value) {
    this.content[name] = value;
    try { sessionStorage.setItem(this.key, JSON.stringify(this.content)); } catch { /* not allowed here */ }
  },
};
try { memory.content = JSON.parse(sessionStorage.getItem(memory.key)) || {}; } catch { /* not allowed, or not ours */ }

// -- theme ------------------------------------------------------------------------------------------------------------

const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const themed = []; // functions to call when the theme changes

function showTheme() {
  byId("theme").setAttribute("aria-pressed", String(dark()));
  for (const redraw of themed) redraw();
}
if (memory.get("theme")) document.documentElement.dataset.theme = memory.get("theme");
byId("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  memory.set("theme", document.documentElement.dataset.theme);
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
byId("theme").setAttribute("aria-pressed", String(dark()));

// -- controls ---------------------------------------------------------------------------------------------------------

// A group of checkboxes, remembered under `name`; `swatch(place)` may give a picture for each. Returns the set of those on.
function toggles(form, name, title, texts, change, swatch = () => null, start = texts.map((_, place) => place)) {
  const on = new Set(memory.get(name, null)?.filter((text) => texts.includes(text)).map((text) => texts.indexOf(text)) ?? start);
  const boxes = texts.map((text, place) => {
    const box = make("input", { type: "checkbox" });
    box.checked = on.has(place);
    box.addEventListener("change", () => { box.checked ? on.add(place) : on.delete(place); keep(); });
    return box;
  });
  function keep() { memory.set(name, [...on].map((place) => texts[place])); change(); }
  const row = make("div", {}, ...boxes.map((box, place) => {
    const label = make("label", {}, box, ...[swatch(place)].filter(Boolean), make("span", { dir: "auto" }, texts[place]));
    return label;
  }));
  if (texts.length > 2) {
    const all = make("button", { type: "button", "aria-label": `${title}: all or none` }, "all / none");
    all.addEventListener("click", () => {
      const some = on.size < texts.length;
      boxes.forEach((box, place) => { box.checked = some; some ? on.add(place) : on.delete(place); });
      keep();
    });
    row.append(all);
  }
  form.append(make("fieldset", {}, make("legend", {}, title), row));
  return on;
}

// A choice of one, remembered under `name`; returns the select.
function choice(parent, name, title, texts, change, start = 0) {
  const select = make("select", {}, ...texts.map((text, place) => make("option", { value: place }, text)));
  const kept = texts.indexOf(memory.get(name, null));
  select.value = kept >= 0 ? kept : start;
  select.addEventListener("change", () => { memory.set(name, texts[select.value]); change(); });
  parent.append(make("label", {}, title, select));
  return select;
}

function notes(list, texts) {
  list.replaceChildren(...texts.map((text) => make("li", { dir: "auto" }, text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : "."))));
}

for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());

// -- sorting ----------------------------------------------------------------------------------------------------------

const words = new Intl.Collator("en", { numeric: true });

// Values that are none come last, whichever way is up.
function compare(a, b, way) {
  if (a === null || b === null) return (a === null) - (b === null);
  return way * (typeof a === "number" && typeof b === "number" ? a - b : words.compare(a, b));
}

function mark(heads, chosen, way) {
  for (const head of heads) head.setAttribute("aria-sort", head === chosen ? (way > 0 ? "ascending" : "descending") : "none");
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const key = (row) => {
      const text = row.cells[column].textContent.trim();
      if (head.dataset.kind !== "number") return text;
      const value = parseFloat(text.replaceAll(",", "").replace("−", "-"));
      return Number.isNaN(value) ? null : value;
    };
    const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
    table.tBodies[0].append(...rows.sort((a, b) => compare(a[0], b[0], way)).map((pair) => pair[1]));
    mark(heads, head, way);
  }));
}

// -- enlarged figures -------------------------------------------------------------------------------------------------

const large = byId("large");
for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const image = button.firstElementChild;
    byId("large-image").src = image.src;
    byId("large-image").alt = image.alt;
    byId("large-save").href = image.src;
    byId("large-save").download = image.dataset.name + (image.src.startsWith("data:image/svg") ? ".svg" : ".png");
    large.showModal();
  });
}
byId("large-close").addEventListener("click", () => large.close());
large.addEventListener("click", (event) => { if (event.target === large) large.close(); });

addEventListener("pagehide", () => memory.set("scroll", scrollY));
// Browsers put a page back where it was before its parts have grown to their sizes.
if (performance.getEntriesByType("navigation")[0]?.type === "reload") {
  const back = memory.get("scroll", 0);
  requestAnimationFrame(() => requestAnimationFrame(() => scrollTo({ top: back, behavior: "instant" })));
}
