// The curves: a panel for each network, in SVG. Which are shown follows from the checkboxes; drag a box to look closer.

if (data.curves) (() => {
  const { conditions, networks, labels, seeds, splits, grids, curves } = data.curves;
  const DASHES = { test: "", train_clean: "6 3", train: "1.5 2.5" };
  const MARGIN = { left: 52, right: 14, top: 8, bottom: 36 };
  const HEIGHT = 320;
  const quantities = [["error", "error (%)"], ["loss", "loss (nats)"]].filter(([name]) => curves.some((curve) => curve[name]));
  const scales = ["linear, without the start", "linear", "logarithmic"];
  const form = byId("curve-controls"), panels = byId("curve-panels"), readout = byId("curve-readout");
  let view = null; // {x: [low, high], y: [low, high]} where a box was drawn, in the units of the axes

  const redraw = () => { cancelAnimationFrame(redraw.asked); redraw.asked = requestAnimationFrame(draw); };
  const afresh = () => { view = null; redraw(); };
  const paint = (label) => (dark() ? labels[label].dark : labels[label].colour);
  const swatch = (stroke, dash) => make("svg", { width: 22, height: 8, "aria-hidden": "true" },
    make("line", { x1: 0, x2: 22, y1: 4, y2: 4, stroke, "stroke-width": 2.5, "stroke-dasharray": dash }));

  const condition = conditions.length > 1 ? choice(form, "condition", "Runs of", conditions, afresh) : { value: 0 };
  const quantity = quantities.length > 1 ? choice(form, "quantity", "Show", quantities.map((pair) => pair[1]), afresh) : { value: 0 };
  const scale = choice(form, "scale", "Scale", scales, afresh);
  const usual = splits.map((_, place) => place).filter((place) => splits[place].name !== "train" || !splits.some((one) => one.name === "train_clean"));
  const on = {
    split: toggles(form, "splits", "Curve", splits.map((split) => split.title), redraw, (place) => swatch("currentColor", DASHES[splits[place].name]), usual),
    network: toggles(form, "networks", "Network", networks, redraw),
    label: toggles(form, "labels", "Depth", labels.map((label) => label.text), redraw, (place) => {
      const picture = swatch(paint(place), "");
      themed.push(() => picture.firstElementChild.setAttribute("stroke", paint(place)));
      return picture;
    }),
    seed: toggles(form, "seeds", "Seed", seeds.map(String), redraw),
  };
  const means = toggles(form, "means", "Mean", ["over the seeds shown"], redraw);
  const whole = make("button", { type: "button" }, "Whole range");
  whole.addEventListener("click", afresh);
  form.append(whole);
  notes(byId("curve-notes"), data.curves.notes);

  const shown = () => curves.filter((curve) => curve.condition === +condition.value
    && Object.entries(on).every(([name, places]) => places.has(curve[name])));

  // -- scales and ticks -----------------------------------------------------------------------------------------------

  function ticks([low, high], log, most = 6) {
    if (log) {
      const found = [];
      const wide = Math.log10(high / low) > 2;
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
        for (const part of wide ? [1] : [1, 2, 5]) found.push(part * 10 ** power);
      return found.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    }
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((part) => part * power >= rough) * power;
    const found = [];
    for (let count = Math.ceil(low / step - 1e-9); count * step <= high + step * 1e-9; count++) found.push(count * step);
    return found;
  }
  const brief = (value) => (Math.abs(value) >= 10000 ? `${+(value / 1000).toPrecision(6)}k` : String(+value.toPrecision(6)));

  // The range of what is shown. A start far above all that follows would press the rest flat: it may be left out.
  function ranges(lines, name, log) {
    let last = 0, low = Infinity, high = -Infinity;
    for (const line of lines) last = Math.max(last, grids[line.grid].at(-1));
    const cut = scales[scale.value].endsWith("start") ? last / 3 : 0;
    for (const line of lines) line[name].forEach((value, place) => {
      if (value === null || (log && value <= 0)) return;
      low = Math.min(low, value);
      if (grids[line.grid][place] >= cut) high = Math.max(high, value);
    });
    if (high < low) high = low === Infinity ? 1 : low * 1.2;
    if (low === Infinity) low = high / 10;
    return { x: [0, last || 1], y: log ? [low / 1.15, high * 1.15] : [0, high * 1.06 || 1] };
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  // For each label and split the mean over the seeds shown that are done, where their curves have the same iterations.
  function averaged(lines, name) {
    const groups = new Map();
    for (const line of lines.filter((one) => one.state === "done" && one[name])) {
      const key = `${line.label} ${line.split} ${line.grid}`;
      groups.set(key, [...(groups.get(key) || []), line]);
    }
    return [...groups.values()].filter((group) => group.length > 1).map((group) => ({
      ...group[0], mean: group.length,
      [name]: group[0][name].map((_, place) => {
        const values = group.map((line) => line[name][place]);
        return values.includes(null) ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
      }),
    }));
  }

  function draw() {
    const name = quantities[quantity.value][0], log = scales[scale.value] === "logarithmic";
    const lines = shown().filter((line) => line[name]);
    const there = networks.map((_, place) => place).filter((place) => on.network.has(place) && curves.some((curve) => curve.network === place));
    const extent = view || ranges(lines, name, log);
    whole.disabled = !view;
    panels.className = there.length > 1 ? "two" : "";
    panels.replaceChildren(...there.map((network) => {
      const panel = make("div", {}, make("h3", { dir: "auto" }, networks[network]));
      panels.append(panel);
      return panel;
    }));
    there.forEach((network, place) => {
      const own = lines.filter((line) => line.network === network);
      panel(panels.children[place], own, name, extent, log, networks[network]);
    });
    if (!lines.length) readout.textContent = "Nothing is switched on.";
    else if (readout.textContent.startsWith("Nothing")) readout.textContent = "\u00a0";
  }

  function panel(parent, lines, name, extent, log, title) {
    const width = Math.max(parent.clientWidth, 200), right = width - MARGIN.right, bottom = HEIGHT - MARGIN.bottom;
    const level = log ? Math.log10 : (value) => value;
    const [low, high] = extent.y.map(level);
    const x = (value) => MARGIN.left + (value - extent.x[0]) / (extent.x[1] - extent.x[0]) * (right - MARGIN.left);
    const y = (value) => bottom - (level(value) - low) / (high - low) * (bottom - MARGIN.top);
    const clip = `clip-${title.length}-${parent.parentNode ? [...parent.parentNode.children].indexOf(parent) : 0}`;
    const counts = new Set(lines.map((line) => `${line.label}/${line.seed}`)).size;
    const svg = make("svg", { width, height: HEIGHT, role: "img", "aria-label": `${quantities[quantity.value][1]} over iterations, ${title}: ${counts} runs` });
    svg.append(make("clipPath", { id: clip }, make("rect", { x: MARGIN.left, y: MARGIN.top - 4, width: right - MARGIN.left + 6, height: bottom - MARGIN.top + 4 })));
    for (const tick of ticks(extent.y, log)) svg.append(
      make("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(tick), y2: y(tick) }),
      make("text", { x: MARGIN.left - 7, y: y(tick) + 4, "text-anchor": "end" }, brief(tick)));
    for (const tick of ticks(extent.x, false, width > 420 ? 6 : 4)) svg.append(
      make("text", { x: x(tick), y: bottom + 16, "text-anchor": "middle" }, brief(tick)));
    svg.append(
      make("line", { class: "grid", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }),
      make("text", { x: (MARGIN.left + right) / 2, y: bottom + 32, "text-anchor": "middle" }, "iteration"),
      make("text", { x: -(MARGIN.top + bottom) / 2, y: 13, "text-anchor": "middle", transform: "rotate(-90)" }, quantities[quantity.value][1]));

    const area = make("g", { "clip-path": `url(#${clip})` });
    const bold = means.size ? averaged(lines, name) : [];
    const behind = new Set(bold.map((line) => `${line.label} ${line.split}`));
    const drawn = [...lines, ...bold].map((line) => {
      let path = "", open = false;
      line[name].forEach((value, place) => {
        const lost = value === null || (log && value <= 0);
        if (!lost) path += `${open ? "L" : "M"}${x(grids[line.grid][place]).toFixed(1)},${y(value).toFixed(1)}`;
        open = !lost;
      });
      const pale = !line.mean && behind.has(`${line.label} ${line.split}`) && line.state === "done";
      const element = make("path", {
        class: "line", d: path, stroke: paint(line.label), "stroke-width": line.mean ? 2.4 : 1.2,
        "stroke-opacity": pale ? 0.4 : 1, "stroke-dasharray": DASHES[splits[line.split].name],
        "data-run": `${title}-${labels[line.label].text} ${line.mean ? "mean" : seeds[line.seed]} ${splits[line.split].name}`,
      });
      area.append(element);
      if (line.state === "diverged" && !line.mean) {
        const end = line[name].findLastIndex((value) => value !== null && !(log && value <= 0));
        if (end >= 0) {
          const [a, b] = [x(grids[line.grid][end]), y(line[name][end])];
          area.append(make("path", { class: "end", stroke: paint(line.label), d: `M${a - 4},${b - 4}l8,8m0,-8l-8,8` }));
        }
      }
      return { line, element };
    });
    svg.append(area);
    parent.append(svg);
    listen(svg, drawn, { name, x, y, extent, log, title, right, bottom, low, high });
  }

  // -- pointer: what is under it, and boxes ---------------------------------------------------------------------------

  function listen(svg, drawn, at) {
    const dot = make("circle", { r: 4, "stroke-width": 2, stroke: colour("card"), visibility: "hidden" });
    const box = make("rect", { class: "box", visibility: "hidden" });
    svg.append(dot, box);
    let start = null, marked = null;
    const place = (event) => {
      const frame = svg.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top];
    };
    const unmark = () => {
      marked?.element.setAttribute("stroke-width", marked.line.mean ? 2.4 : 1.2);
      dot.setAttribute("visibility", "hidden");
      marked = null;
    };
    svg.addEventListener("pointermove", (event) => {
      const [px, py] = place(event);
      if (start) {
        const [left, top] = [Math.min(px, start[0]), Math.min(py, start[1])];
        for (const [key, value] of Object.entries({ x: left, y: top, width: Math.abs(px - start[0]), height: Math.abs(py - start[1]), visibility: "visible" })) box.setAttribute(key, value);
        return;
      }
      let best = 30 ** 2, found = null;
      for (const one of drawn) {
        const grid = grids[one.line.grid];
        one.line[at.name].forEach((value, index) => {
          if (value === null || (at.log && value <= 0)) return;
          const away = (at.x(grid[index]) - px) ** 2 + (at.y(value) - py) ** 2;
          if (away < best) { best = away; found = { ...one, index, value }; }
        });
      }
      unmark();
      if (!found) return;
      marked = found;
      const { line, element, index, value } = found, iteration = grids[line.grid][index];
      element.setAttribute("stroke-width", 3.2);
      for (const [key, number] of Object.entries({ cx: at.x(iteration), cy: at.y(value), fill: paint(line.label), visibility: "visible" })) dot.setAttribute(key, number);
      const who = line.mean ? `mean of ${line.mean} seeds` : `seed ${seeds[line.seed]}`;
      const what = at.name === "error" ? splits[line.split].title : splits[line.split].title.replace("error", "loss");
      readout.textContent = `${at.title}-${labels[line.label].text}, ${who}: ${what} ${+value.toPrecision(4)}${at.name === "error" ? " %" : " nats"} at iteration ${iteration.toLocaleString("en")}`;
    });
    svg.addEventListener("pointerleave", () => { if (!start) unmark(); });
    svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button) return; // a finger scrolls the page
      start = place(event);
      svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    svg.addEventListener("pointerup", (event) => {
      if (!start) return;
      const end = place(event), [from, to] = [0, 1].map((axis) => [Math.min(start[axis], end[axis]), Math.max(start[axis], end[axis])]);
      start = null;
      box.setAttribute("visibility", "hidden");
      if (from[1] - from[0] < 6 || to[1] - to[0] < 6) return;
      const across = from.map((px) => at.extent.x[0] + (Math.min(Math.max(px, MARGIN.left), at.right) - MARGIN.left) / (at.right - MARGIN.left) * (at.extent.x[1] - at.extent.x[0]));
      const up = to.map((py) => at.low + (at.bottom - Math.min(Math.max(py, MARGIN.top), at.bottom)) / (at.bottom - MARGIN.top) * (at.high - at.low));
      const [high, low] = at.log ? up.map((value) => 10 ** value) : up;
      if (across[1] > across[0] && high > low) view = { x: across, y: [low, high] };
      redraw();
    });
    svg.addEventListener("dblclick", afresh);
  }

  themed.push(redraw);
  let width = 0;
  new ResizeObserver(() => { if (panels.clientWidth !== width) { width = panels.clientWidth; redraw(); } }).observe(panels);
  width = panels.clientWidth;
  draw();
})();
