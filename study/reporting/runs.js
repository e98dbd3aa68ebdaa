// The runs: searched, sorted, and each opened to everything that is known of it.

(() => {
  const { columns, fields, common, rows } = data.runs;
  const PAGE = 200; // rows at once, until more are asked for
  const table = byId("run-table"), search = byId("run-search"), more = byId("run-more");
  const shown = (cell) => (Array.isArray(cell) ? cell[1] : cell);
  const key = (cell) => (Array.isArray(cell) ? cell[0] : cell);
  const everywhere = common.map((field) => field[2]).join("\n").toLowerCase();
  const texts = rows.map((row) => [...row.cells.map(shown), ...row.fields].join("\n").toLowerCase());
  const open = new Set(memory.get("open", []));
  const state = columns.findIndex((column) => column.name === "state");
  const name = (row) => { const place = fields.findIndex((field) => field[1] === "run_id"); return place < 0 ? common.find((field) => field[1] === "run_id")?.[2] ?? "" : row.fields[place]; };
  let sorted = memory.get("sort", null); // [column's name, 1 or -1]
  let most = PAGE;

  const heads = columns.map((column, place) => {
    const button = make("button", { type: "button" }, column.name);
    const head = make("th", { scope: "col", "aria-sort": "none", "data-kind": column.kind }, button);
    button.addEventListener("click", () => {
      sorted = [column.name, sorted?.[0] === column.name ? -sorted[1] : 1];
      memory.set("sort", sorted);
      fill();
    });
    return head;
  });
  const body = make("tbody");
  table.append(make("thead", {}, make("tr", {}, ...heads)), body);
  const filtered = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.map((_, place) => place).filter((place) => wanted.every((word) => texts[place].includes(word) || everywhere.includes(word)));
  };

  function fill() {
    const found = filtered();
    const column = sorted ? columns.findIndex((one) => one.name === sorted[0]) : -1;
    if (column >= 0) found.sort((a, b) => compare(key(rows[a].cells[column]), key(rows[b].cells[column]), sorted[1]) || a - b);
    mark(heads, heads[column], sorted?.[1]);
    body.replaceChildren(...found.slice(0, most).flatMap((place) => row(rows[place])));
    byId("run-count").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} runs`;
    more.hidden = found.length <= most;
    more.textContent = `Show all ${found.length.toLocaleString("en")}`;
  }

  function row(one) {
    const id = name(one);
    const button = make("button", { type: "button", class: "open", "aria-expanded": String(open.has(id)), "aria-label": `Everything about ${id}`, title: id }, make("span", { dir: "auto" }, shown(one.cells[0])));
    const line = make("tr", {}, ...one.cells.map((cell, place) => {
      const classes = [columns[place].kind === "number" ? "number" : "", place === state ? `state-${/^\w+$/.test(cell) ? cell : ""}` : ""].filter(Boolean).join(" ");
      return make("td", { ...(classes ? { class: classes } : {}), dir: "auto" }, place ? shown(cell) : button);
    }));
    const lines = [line];
    if (open.has(id)) lines.push(details(one));
    button.addEventListener("click", () => {
      const now = !open.has(id);
      now ? open.add(id) : open.delete(id);
      memory.set("open", [...open]);
      button.setAttribute("aria-expanded", String(now));
      now ? line.after(details(one)) : line.nextElementSibling.remove();
    });
    return lines;
  }

  function details(one) {
    const all = [...fields.map(([group, field], place) => [group, field, one.fields[place]]), ...common];
    const groups = ["network", "recipe", "data", "result", "provenance"].map((title) => {
      const own = all.filter(([group]) => group === title).map(([, field, text]) => [field, text]);
      const pairs = own.flatMap(([field, text]) => [make("dt", { dir: "auto" }, field.replace(/^recipe\./, "")), make("dd", { dir: "auto" }, text)]);
      return own.length ? make("div", {}, make("h3", {}, title), make("dl", {}, ...pairs)) : "";
    });
    return make("tr", { class: "details" }, make("td", { colspan: columns.length }, make("div", { class: "groups" }, ...groups)));
  }

  search.value = memory.get("search", "");
  search.addEventListener("input", () => { memory.set("search", search.value); most = PAGE; fill(); });
  more.addEventListener("click", () => { most = Infinity; fill(); });
  fill();
})();
