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

// -- sorting ----------------------------------------------------------------------------------------------------------

const words = new Intl.Collator("en", { numeric: true });

// Missing values come last in either direction.
function compare(a, b, way) {
  if (a === null || b === null) return (a === null) - (b === null);
  return way * (typeof a === "number" && typeof b === "number" ? a - b : words.compare(a, b));
}

// Sort by a column when its head is pressed; `sort(column, way)` does it.
function sortable(heads, sort) {
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.setAttribute("aria-sort", other !== head ? "none" : way > 0 ? "ascending" : "descending");
    sort(column, way);
  }));
}

// -- runs: searched, sorted, and each opened to all its fields --------------------------------------------------------

{
  const { columns, fields, common, rows } = data.runs;
  const search = byId("run-search"), more = byId("run-more"), body = make("tbody");
  const shown = (cell) => (Array.isArray(cell) ? cell[1] : cell), key = (cell) => (Array.isArray(cell) ? cell[0] : cell);
  const everywhere = common.map((field) => field[1]).join("\n").toLowerCase();
  const texts = new Map(rows.map((row) => [row, [...row.cells.map(shown), ...row.fields].join("\n").toLowerCase()]));
  let sorted = [...rows], most = 200;

  const heads = columns.map((column) => make("th", { scope: "col", "aria-sort": "none", "data-kind": column.kind }, make("button", { type: "button" }, column.name)));
  sortable(heads, (column, way) => {
    sorted = [...rows].sort((a, b) => compare(key(a.cells[column]), key(b.cells[column]), way));
    fill();
  });

  function fill() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = sorted.filter((row) => wanted.every((word) => texts.get(row).includes(word) || everywhere.includes(word)));
    body.replaceChildren(...found.slice(0, most).map(line));
    byId("run-count").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} runs`;
    more.hidden = found.length <= most;
    more.textContent = `Show all ${found.length.toLocaleString("en")}`;
  }

  function line(row) {
    const button = make("button", { type: "button", class: "open", "aria-expanded": "false", "aria-label": `All fields of ${shown(row.cells[0])}` }, make("span", { dir: "auto" }, row.cells[0]));
    const cells = row.cells.map((cell, place) => make("td", { class: columns[place].kind, dir: "auto", "data-head": columns[place].name, "data-is": columns[place].name === "state" ? cell : "" }, place ? shown(cell) : button));
    const element = make("tr", {}, ...cells);
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", String(open));
      open ? element.after(details(row)) : element.nextElementSibling.remove();
    });
    return element;
  }

  function details(row) {
    const pairs = [...fields.map((field, place) => [field, row.fields[place]]), ...common];
    const list = make("dl", {}, ...pairs.map(([field, text]) => make("div", {}, make("dt", { dir: "auto" }, field), make("dd", { dir: "auto" }, text))));
    return make("tr", { class: "details" }, make("td", { colspan: columns.length }, list));
  }

  byId("run-table").append(make("thead", {}, make("tr", {}, ...heads)), body);
  search.addEventListener("input", fill);
  more.addEventListener("click", () => { most = Infinity; fill(); });
  fill();
}
