// The error surfaces, by plotly.js, which is unpacked when they come near the window: a page is read before that is ready.

if (data.surfaces) (() => {
  const { values, colours, surfaces } = data.surfaces;
  const names = Object.keys(values);
  const form = byId("surface-controls"), parent = byId("surface-panels");
  const START = { x: 1.35, y: -1.35, z: 0.95 };
  const panels = [];
  let eye = memory.get("eye", START), library = null;

  const height = choice(form, "height", "Height", names.map((name) => values[name]), () => panels.forEach(draw));
  notes(byId("surface-notes"), [...data.surfaces.notes, "a loss is drawn by its logarithm; colours run as in the figure contours, heights over all surfaces here, so that they compare; numbers are rounded to 4 digits; gaps have no finite value"]);

  // Two side by side where there is room: at first the deepest plain network beside the deepest residual one.
  const deepest = (network) => surfaces.reduce((best, one, place) => (one.network === network && one.depth > (surfaces[best]?.depth ?? -1) ? place : best), -1);
  const first = Math.max(deepest("plain"), 0), second = deepest("residual") < 0 || deepest("residual") === first ? (first + 1) % surfaces.length : deepest("residual");
  const count = surfaces.length > 1 && matchMedia("(min-width: 46rem)").matches ? 2 : 1;
  parent.className = count > 1 ? "two" : "";

  for (let number = 0; number < count; number++) {
    const panel = { scene: make("div", { class: "scene waiting", tabindex: 0, role: "group", "aria-describedby": "surface-hint" }, "…"), number };
    const box = make("div", { class: "panel" });
    panel.select = choice(box, `surface${number}`, count > 1 ? ["Left", "Right"][number] : "Surface", surfaces.map((one) => one.title), () => draw(panel), number ? second : first);
    box.append(panel.scene, turns());
    panel.scene.addEventListener("keydown", (event) => { if (!event.ctrlKey && !event.metaKey && !event.altKey && turn(event.key)) event.preventDefault(); });
    parent.append(box);
    panels.push(panel);
  }

  function turns() {
    const buttons = [["ArrowLeft", "◀", "Turn left"], ["ArrowRight", "▶", "Turn right"], ["ArrowUp", "▲", "Tilt up"], ["ArrowDown", "▼", "Tilt down"], ["+", "+", "Zoom in"], ["-", "−", "Zoom out"], ["0", "Reset", "Reset the view"]];
    return make("div", { class: "turns" }, ...buttons.map(([key, sign, title]) => {
      const button = make("button", { type: "button", "aria-label": title, title }, sign);
      button.addEventListener("click", () => turn(key));
      return button;
    }));
  }

  // -- the camera -----------------------------------------------------------------------------------------------------

  function turn(key) {
    const far = Math.hypot(eye.x, eye.y, eye.z), tilt = Math.asin(eye.z / far), around = Math.atan2(eye.y, eye.x);
    const set = (angle, up, away) => {
      up = Math.min(Math.max(up, -1.5), 1.5); // straight from above there is no left and right
      look({ x: away * Math.cos(up) * Math.cos(angle), y: away * Math.cos(up) * Math.sin(angle), z: away * Math.sin(up) });
      return true;
    };
    const step = Math.PI / 18;
    if (key === "ArrowLeft") return set(around - step, tilt, far);
    if (key === "ArrowRight") return set(around + step, tilt, far);
    if (key === "ArrowUp") return set(around, tilt + step, far);
    if (key === "ArrowDown") return set(around, tilt - step, far);
    if (key === "+" || key === "=") return set(around, tilt, Math.max(far / 1.15, 0.4));
    if (key === "-" || key === "−") return set(around, tilt, Math.min(far * 1.15, 8));
    if (key === "0") { look(START); return true; }
    return false;
  }

  // All surfaces are looked at from one place; `from` is the one that was turned by hand.
  function look(place, from = null) {
    eye = place;
    memory.set("eye", eye);
    for (const panel of panels) if (panel !== from && panel.drawn) library.relayout(panel.scene, { "scene.camera": camera() });
  }
  const camera = () => ({ eye: { ...eye }, center: { x: 0, y: 0, z: -0.12 }, up: { x: 0, y: 0, z: 1 } });

  // -- what is drawn --------------------------------------------------------------------------------------------------

  const flat = (value) => (Array.isArray(value) ? value.flat() : []);
  const isLoss = (name) => name.endsWith("loss");
  // A loss of zero has no logarithm: it stands at the least that there is.
  function levels(list, name, least) {
    const one = (value) => (value === null ? null : isLoss(name) ? Math.log10(Math.max(value, least)) : value);
    return Array.isArray(list[0]) ? list.map((row) => row.map(one)) : list.map(one);
  }

  function range(name) {
    let low = Infinity, high = -Infinity;
    for (const surface of surfaces) for (const value of flat(surface.values[name])) {
      if (value === null || (isLoss(name) && value <= 0)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return low < high ? [low, high] : [low === Infinity ? 0.1 : low / 2, low === Infinity ? 1 : low * 2 || 1];
  }

  function axis(name, [low, high]) {
    if (!isLoss(name)) return { range: [Math.min(0, low), high * 1.02], tickvals: undefined };
    const ends = [Math.log10(low) - 0.05, Math.log10(high) + 0.05], ticks = [];
    const steps = ends[1] - ends[0] > 3 ? [1] : [1, 3];
    for (let power = Math.floor(ends[0]); power <= ends[1]; power++) for (const part of steps) ticks.push(part * 10 ** power);
    const inside = ticks.filter((tick) => Math.log10(tick) >= ends[0] && Math.log10(tick) <= ends[1]);
    return { range: ends, tickvals: inside.map(Math.log10), ticktext: inside.map((tick) => String(+tick.toPrecision(3))) };
  }

  function traces(surface, name, least) {
    const kind = isLoss(name) ? "loss" : "error";
    const ends = colours[kind].map(isLoss(name) ? Math.log10 : (value) => value);
    const unit = kind === "loss" ? " nats" : " %";
    const z = levels(surface.values[name], name, least);
    const say = (value) => (value === null ? "" : `${+value.toPrecision(4)}${unit}`);
    const shared = { colorscale: "Viridis", showscale: false, cmin: ends[0], cmax: ends[1], hovertemplate: "α %{x}, β %{y}<br>%{text}<extra></extra>" };
    const lit = { lighting: { ambient: 0.72, diffuse: 0.55, specular: 0.08, roughness: 0.8 } };
    const found = [];
    if (surface.triangles) {
      const [i, j, k] = [0, 1, 2].map((corner) => surface.triangles.filter((three) => three.every((point) => z[point] !== null)).map((three) => three[corner]));
      found.push({ type: "mesh3d", x: surface.alpha, y: surface.beta, z: z.map((value) => value ?? 0), i, j, k, intensity: z.map((value) => value ?? 0), text: surface.values[name].map(say), ...shared, ...lit });
    } else {
      found.push({ type: "surface", x: surface.alpha, y: surface.beta, z, text: surface.values[name].map((row) => row.map(say)), ...shared, ...lit,
        contours: { z: { show: true, usecolormap: true, project: { z: true }, highlight: false } } });
    }
    const here = centre(surface, z);
    if (here !== null) found.push({ type: "scatter3d", mode: "markers", x: [0], y: [0], z: [here], marker: { size: 5, color: "#d9662b", symbol: "diamond", line: { width: 1, color: "#fff" } }, hovertemplate: "the trained network<extra></extra>" });
    return found;
  }

  // The height over (0, 0), if that is a point of the lattice.
  function centre(surface, z) {
    const near = (value) => Math.abs(value) < 1e-9;
    if (surface.triangles) {
      const place = surface.alpha.findIndex((alpha, point) => near(alpha) && near(surface.beta[point]));
      return place < 0 ? null : z[place];
    }
    const [a, b] = [surface.alpha.findIndex(near), surface.beta.findIndex(near)];
    return a < 0 || b < 0 ? null : z[b][a];
  }

  async function draw(panel) {
    if (!library) return;
    const surface = surfaces[panel.select.value], name = names[height.value];
    panel.scene.setAttribute("aria-label", `${values[name]} around ${surface.title}: arrow keys turn it, plus and minus zoom, 0 goes back`);
    if (!surface.values[name]) {
      library.purge(panel.scene);
      panel.drawn = false;
      panel.scene.classList.add("waiting");
      panel.scene.textContent = "Not measured for this surface.";
      return;
    }
    const extent = range(name), ink = colour("ink"), faint = colour("faint");
    const plain = { gridcolor: faint, zerolinecolor: faint, linecolor: faint, color: ink, showspikes: false, backgroundcolor: "rgba(0,0,0,0)" };
    const layout = {
      margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 11, family: "system-ui, sans-serif" }, showlegend: false,
      scene: {
        xaxis: { ...plain, title: { text: "α" } }, yaxis: { ...plain, title: { text: "β" } },
        zaxis: { ...plain, title: { text: values[name] }, ...axis(name, extent) },
        aspectmode: "manual", aspectratio: { x: 1, y: 1, z: 0.75 }, camera: camera(), dragmode: "turntable",
      },
    };
    if (!panel.drawn) { panel.scene.textContent = ""; panel.scene.classList.remove("waiting"); }
    await library.react(panel.scene, traces(surface, name, extent[0]), layout, { displayModeBar: false, responsive: true, scrollZoom: true });
    if (!panel.drawn) {
      panel.drawn = true;
      for (const kind of ["plotly_relayout", "plotly_relayouting"]) panel.scene.on(kind, (change) => {
        const place = change["scene.camera"]?.eye;
        if (place && JSON.stringify(place) !== JSON.stringify(eye)) look(place, panel);
      });
    }
  }

  // -- the library ----------------------------------------------------------------------------------------------------

  async function unpack() {
    const packed = Uint8Array.from(atob(byId("library").textContent), (letter) => letter.charCodeAt(0));
    const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(make("script", {}, text)); // allowed by its hash
    return window.Plotly;
  }

  async function open() {
    panels.forEach((panel) => { panel.scene.textContent = "Getting ready …"; });
    try {
      if (!make("canvas").getContext("webgl")) throw new Error("this browser has no WebGL");
      library = await unpack();
      await Promise.all(panels.map(draw));
      parent.dataset.ready = "yes";
    } catch (error) {
      panels.forEach((panel) => { panel.scene.textContent = `No surface can be turned here: ${error.message}. The figure contours shows the same.`; });
      parent.dataset.ready = "no";
    }
  }

  themed.push(() => panels.forEach(draw));
  const seen = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) { seen.disconnect(); open(); }
  }, { rootMargin: "600px" });
  seen.observe(parent);
})();
