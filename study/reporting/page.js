"use strict";
// Controls and the list of runs. Whatever comes from data goes into the page as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// An element: make("td", {class: "number"}, "1.5"). Children are elements or text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A group of checkboxes; the places in `start` are on. Returns the set of those that are on.
function toggles(form, title, texts, change, start = texts.map((_, place) => place), colours = []) {
  const on = new Set(start);
  const boxes = texts.map((text, place) => {
    const box = make("input", { type: "checkbox" });
    box.addEventListener("change", () => set(place, box.checked));
    return box;
  });
  const show = () => { boxes.forEach((box, place) => { box.checked = on.has(place); }); };
  const set = (place, value) => { value ? on.add(place) : on.delete(place); change(); };
  const row = make("div", {}, ...texts.map((text, place) => {
    const words = make("span", { dir: "auto" }, text);
    if (colours[place]) words.style.borderBottom = `3px solid ${colours[place]}`;
    return make("label", {}, boxes[place], words);
  }));
  if (texts.length > 2) {
    const all = make("button", { type: "button", "aria-label": `${title}: all or none` }, "all / none");
    all.addEventListener("click", () => {
      const some = on.size < texts.length;
      texts.forEach((_, place) => { some ? on.add(place) : on.delete(place); });
      show();
      change();
    });
    row.append(all);
  }
  show();
  form.append(make("fieldset", {}, make("legend", {}, title), row));
  return on;
}

// A choice of one; returns the select. With a single text there is nothing to choose.
function choice(parent, title, texts, change, start = 0) {
  const select = make("select", {}, ...texts.map((text, place) => make("option", { value: place }, text)));
  select.value = start;
  select.addEventListener("change", change);
  if (texts.length > 1) parent.append(make("label", {}, title, select));
  return select;
}

function notes(list, texts) {
  list.replaceChildren(...texts.map((text) => make("li", { dir: "auto" }, text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : "."))));
}

// -- runs: searched and sorted ----------------------------------------------------------------------------------------

{
  const table = byId("run-table"), rows = [...table.tBodies[0].rows], heads = [...table.tHead.rows[0].cells], search = byId("run-search");
  const words = new Intl.Collator("en", { numeric: true });

  // Missing numbers come last in either direction.
  function compare(a, b, way) {
    if (a.dataset.value === undefined) return way * words.compare(a.textContent, b.textContent);
    if (!a.dataset.value || !b.dataset.value) return !a.dataset.value - !b.dataset.value;
    return way * (a.dataset.value - b.dataset.value);
  }

  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.setAttribute("aria-sort", other !== head ? "none" : way > 0 ? "ascending" : "descending");
    table.tBodies[0].append(...rows.sort((a, b) => compare(a.cells[column], b.cells[column], way)));
  }));

  function filter() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !wanted.every((word) => row.textContent.toLowerCase().includes(word));
    byId("run-count").textContent = `${rows.filter((row) => !row.hidden).length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} runs`;
  }
  search.addEventListener("input", filter);
  filter();
}
