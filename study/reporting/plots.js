// Curves and loss surfaces, drawn by plotly.js, which is unpacked after the page is shown.

const PLAIN = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
const FONT = { family: "system-ui, sans-serif", size: 12, color: "#1d1f21" };
const CLEAR = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", modebar: { bgcolor: "rgba(0,0,0,0)" } };
// Plotly reads some markup and %{fields} in its texts: of data neither is wanted.
const plain = (text) => text.replace(/[&<>%]/g, (sign) => `&#${sign.charCodeAt(0)};`);

// -- curves -----------------------------------------------------------------------------------------------------------

const DASHES = { test: ["solid", "solid"], train_clean: ["dash", "dashed"], train: ["dot", "dotted"] };

function setUpCurves() {
  const { conditions, networks, labels, seeds, splits, grids, curves } = data.curves;
  const form = byId("curve-controls"), plot = byId("curve-plot");
  const quantities = [["error", "error (%)"], ["loss", "loss (nats)"]].filter(([name]) => curves.some((curve) => curve[name]));
  const draw = () => { if (window.Plotly) show(); };
  const places = (list, keep) => list.map((_, place) => place).filter(keep);
  const condition = choice(form, "Runs of", conditions, draw);
  const quantity = choice(form, "Show", quantities.map((pair) => pair[1]), draw);
  const scale = choice(form, "Scale", ["linear, without the start", "linear", "logarithmic"], draw);
  const both = splits.some((split) => split.name === "train_clean");
  const many = seeds.length > 12 && seeds.at(-1) === "mean";
  const on = {
    split: toggles(form, "Curve", splits.map((one) => `${one.title}, ${DASHES[one.name][1]}`), draw, places(splits, (place) => !both || splits[place].name !== "train")),
    network: toggles(form, "Network", networks, draw),
    label: toggles(form, "Depth", labels.map((one) => one.text), draw, undefined, labels.map((one) => one.colour)),
    seed: toggles(form, "Seed", seeds, draw, places(seeds, (place) => !many || place === seeds.length - 1)),
  };
  notes(byId("curve-notes"), data.curves.notes);

  function trace(curve, panel, name, alone) {
    const x = grids[curve.grid], y = curve[name], mean = seeds[curve.seed] === "mean", axis = panel ? panel + 1 : "";
    const split = splits[curve.split], title = name === "error" ? split.title : split.title.replace("error", "loss");
    const who = `${networks[curve.network]}-${labels[curve.label].text}, ${mean ? "mean" : `seed ${seeds[curve.seed]}`}`;
    const end = y.findLastIndex((value) => value !== null);
    return {
      x, y, xaxis: `x${axis}`, yaxis: `y${axis}`, mode: curve.lost ? "lines+markers" : "lines", name: plain(who),
      line: { color: labels[curve.label].colour, dash: DASHES[split.name][0], width: mean ? 2.6 : 1.4 },
      marker: { symbol: "x", opacity: 1, size: x.map((_, place) => (curve.lost && place === end ? 8 : 0)) },
      opacity: mean || alone || curve.lost ? 1 : 0.4,
      hovertemplate: `${plain(who)}: ${title} %{y:.4g}${name === "error" ? " %" : " nats"} at iteration %{x:,}<extra></extra>`,
    };
  }

  function show() {
    const [name, unit] = quantities[quantity.value], there = places(networks, (place) => on.network.has(place));
    const shown = curves.filter((curve) => curve[name] && curve.condition === +condition.value && Object.entries(on).every(([field, set]) => set.has(curve[field])));
    const alone = !shown.some((curve) => seeds[curve.seed] === "mean");
    const wide = plot.clientWidth > 640 && there.length > 1;
    const layout = {
      ...CLEAR, font: FONT, showlegend: false, hovermode: "closest", height: wide || there.length < 2 ? 380 : 340 * there.length,
      margin: { l: 55, r: 10, t: 30, b: 45 }, grid: { rows: wide ? 1 : there.length || 1, columns: wide ? there.length : 1, pattern: "independent", xgap: 0.12, ygap: 0.3 },
      annotations: [],
    };
    let last = 1, top = 0;
    for (const curve of shown) last = Math.max(last, grids[curve.grid].at(-1));
    for (const curve of shown) curve[name].forEach((value, place) => { if (grids[curve.grid][place] >= last / 3) top = Math.max(top, value); });
    there.forEach((network, panel) => {
      const axis = panel ? panel + 1 : "", log = scale.value === "2";
      layout[`xaxis${axis}`] = { title: { text: "iteration" }, range: [0, last], matches: panel ? "x" : undefined };
      layout[`yaxis${axis}`] = { title: { text: unit }, type: log ? "log" : "linear", matches: panel ? "y" : undefined, rangemode: "tozero" };
      if (scale.value === "0" && top) layout[`yaxis${axis}`].range = [0, 1.06 * top];
      layout.annotations.push({ text: `<b>${plain(networks[network])}</b>`, showarrow: false, xref: `x${axis} domain`, yref: `y${axis} domain`, x: 0, y: 1.09, xanchor: "left" });
    });
    const traces = shown.map((curve) => trace(curve, there.indexOf(curve.network), name, alone));
    plot.style.height = `${layout.height}px`;
    return Plotly.react(plot, traces, layout, PLAIN);
  }
  addEventListener("resize", draw);
  return show;
}

// -- surfaces ---------------------------------------------------------------------------------------------------------

const HIGHEST = 100; // nats: far from a network the loss may be of any size, and would press all else flat

function setUpSurfaces() {
  const { values, ranges, surfaces } = data.surfaces;
  const names = Object.keys(values), form = byId("surface-controls"), parent = byId("surface-panels"), panels = [];
  const draw = () => { if (window.Plotly) show(); };
  const height = choice(form, "Height", Object.values(values), draw);
  notes(byId("surface-notes"), [...data.surfaces.notes, "a loss has a logarithmic axis; height and colour have one scale for all surfaces; numbers are rounded to 4 digits; gaps have no finite value"]);

  const deepest = (network) => surfaces.reduce((best, one, place) => (one.network === network && one.depth > (surfaces[best]?.depth ?? -1) ? place : best), -1);
  const first = Math.max(deepest("plain"), 0), second = deepest("residual") < 0 || deepest("residual") === first ? (first + 1) % surfaces.length : deepest("residual");
  for (const start of surfaces.length > 1 && innerWidth > 740 ? [first, second] : [first]) {
    const box = make("div", { class: "panel" }), scene = make("div", { class: "paper scene" });
    panels.push({ scene, select: choice(box, "Surface", surfaces.map((one) => one.title), draw, start) });
    box.append(scene);
    parent.append(box);
  }

  // All surfaces are seen from one place.
  function look(eye, from) {
    for (const { scene } of panels) if (scene !== from) Plotly.relayout(scene, { "scene.camera.eye": eye });
  }

  function show() {
    const name = names[height.value], loss = name.endsWith("loss"), [low, end] = ranges[name];
    const high = loss ? Math.min(end, Math.max(HIGHEST, 2 * low)) : end, level = (value) => (loss ? Math.log10(value) : value);
    const extent = [low, high].map(level), line = { showgrid: true, gridcolor: "#dedfdc" };
    for (const { scene, select } of panels) {
      const { alpha, beta, values: own } = surfaces[select.value];
      const z = (own[name] || []).map((row) => row.map((value) => (value === null ? null : Math.min(Math.max(value, low), high))));
      const colours = z.map((row) => row.map((value) => (value === null ? null : level(value))));
      const traces = [{
        type: "surface", x: alpha, y: beta, z, surfacecolor: colours, cmin: extent[0], cmax: extent[1], colorscale: "Viridis", showscale: false,
        contours: { z: { show: true, color: "rgba(0,0,0,0.25)", width: 1 } }, hovertemplate: "α %{x}, β %{y}<br>%{z:.4g}<extra></extra>",
      }];
      const here = z[beta.indexOf(0)]?.[alpha.indexOf(0)];
      if (here) traces.push({ type: "scatter3d", mode: "markers", x: [0], y: [0], z: [here], marker: { size: 5, color: "#d9662b", symbol: "diamond" }, hovertemplate: "the trained network<extra></extra>" });
      const room = 0.03 * (extent[1] - extent[0]);
      const layout = {
        ...CLEAR, font: FONT, margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, height: 400, uirevision: "kept",
        annotations: z.length ? [] : [{ text: "Not measured for this surface", showarrow: false }],
        scene: {
          xaxis: { title: { text: "α" }, ...line }, yaxis: { title: { text: "β" }, ...line }, aspectmode: "manual", aspectratio: { x: 1, y: 1, z: 0.75 },
          zaxis: { title: { text: values[name] }, type: loss ? "log" : "linear", dtick: loss ? 1 : undefined, range: [extent[0] - room, extent[1] + room], ...line },
          camera: { eye: { x: 1.5, y: -1.5, z: 1 }, center: { x: 0, y: 0, z: -0.12 } }, dragmode: "turntable",
        },
      };
      Plotly.react(scene, traces, layout, PLAIN);
      if (!scene.dataset.drawn) scene.on("plotly_relayout", (change) => { if (change["scene.camera"]) look(change["scene.camera"].eye, scene); });
      scene.dataset.drawn = "yes";
    }
  }
  return show;
}

// -- the library ------------------------------------------------------------------------------------------------------

async function unpack() {
  const packed = Uint8Array.from(atob(byId("library").textContent), (letter) => letter.charCodeAt(0));
  const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(make("script", {}, text)); // allowed by its hash
}

async function plots() {
  const [curves, surfaces] = [data.curves && setUpCurves(), data.surfaces && setUpSurfaces()];
  if (!curves && !surfaces) return;
  await new Promise((shown) => { setTimeout(shown); });
  await unpack();
  if (curves) {
    byId("curve-plot").textContent = "";
    await curves();
  }
  byId("main").dataset.ready = "curves";
  if (!surfaces) return;
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    if (make("canvas").getContext("webgl")) surfaces();
    else byId("surface-panels").textContent = "This browser has no WebGL. The figure contours shows the same.";
    byId("main").dataset.ready = "surfaces";
  }, { rootMargin: "200px" }).observe(byId("surface-panels"));
}

for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
plots();
