// The error surfaces, by plotly.js, which is unpacked when they come near the window: a page is read before that is ready.

if (data.surfaces) (() => {
  const { values, surfaces } = data.surfaces;
  const names = Object.keys(values);
  const form = byId("surface-controls"), parent = byId("surface-panels");
  const LINES = 12; // of equal height, less one
  const far = parent.clientWidth < 500 ? 1.45 : 1; // a narrow scene is seen whole from farther off
  const START = { x: 1.35 * far, y: -1.35 * far, z: 0.95 * far };
  const panels = [];
  let eye = memory.get("eye", START), library = null;

  const height = choice(form, "height", "Height", names.map((name) => values[name]), () => panels.forEach(draw));
  // Far from a network the loss may be of any size, and would press all else flat.
  let cuts = [], cut = null;
  cuts = [10, 100, 1000].filter((level) => range("train_loss")[1] > 2 * level || range("test_loss")[1] > 2 * level);
  cut = cuts.length ? choice(form, "cut", "Loss cut above", [...cuts.map((level) => `${level} nats`), "nothing"], () => panels.forEach(draw), Math.min(1, cuts.length - 1)) : { value: 0 };
  notes(byId("surface-notes"), [...data.surfaces.notes, "a loss is drawn by its logarithm; heights and colours run alike for all surfaces, so that they compare; numbers are rounded to 4 digits; above the cut a surface is flat; lines on the floor are of equal height; gaps have no finite value"]);

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

  function flat(value) { return Array.isArray(value) ? value.flat() : []; }
  function isLoss(name) { return name.endsWith("loss"); }
  const level = (name) => (isLoss(name) ? Math.log10 : (value) => value);

  // The points of a surface and the triangles between them; a lattice has a row of values for each beta.
  function mesh(surface) {
    if (surface.triangles) return { x: surface.alpha, y: surface.beta, triangles: surface.triangles };
    const { alpha, beta } = surface, triangles = [];
    for (let b = 0; b + 1 < beta.length; b++) for (let a = 0; a + 1 < alpha.length; a++) {
      const corner = b * alpha.length + a, above = corner + alpha.length;
      triangles.push([corner, corner + 1, above + 1], [corner, above + 1, above]);
    }
    return { x: beta.flatMap(() => alpha), y: beta.flatMap((place) => alpha.map(() => place)), triangles };
  }

  // From the least to the largest value of all surfaces, or to the cut.
  function range(name) {
    let low = Infinity, high = -Infinity;
    for (const surface of surfaces) for (const value of flat(surface.values[name])) {
      if (value === null || (isLoss(name) && value <= 0)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    if (isLoss(name) && low < cuts[cut?.value]) high = Math.min(high, cuts[cut.value]);
    return low < high ? [low, high] : [low === Infinity ? 0.1 : low / 2, low === Infinity ? 1 : low * 2 || 1];
  }

  function axis(name, [low, high]) {
    const [from, to] = [low, high].map(level(name)), range = [from - 0.03 * (to - from), to + 0.03 * (to - from)];
    if (!isLoss(name)) return { range };
    const ticks = [], steps = to - from > 3 ? [1] : [1, 3];
    for (let power = Math.floor(from); power <= to; power++) for (const part of steps) ticks.push(part * 10 ** power);
    const inside = ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    return { range, tickvals: inside.map(Math.log10), ticktext: inside.map(brief) };
  }

  const ends = (places) => [Math.min(...places), Math.max(...places)];
  const POWERS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  function brief(tick) {
    const power = Math.round(Math.log10(tick));
    return Math.abs(power) > 3 ? "10" + [...String(power)].map((sign) => POWERS[sign]).join("") : String(+tick.toPrecision(3));
  }

  function traces(surface, name, [least, most]) {
    const { x, y, triangles } = mesh(surface), values = flat(surface.values[name]);
    // A loss of zero has no logarithm: it stands at the least that there is; one above the cut, at the cut.
    const z = values.map((value) => (value === null ? null : level(name)(Math.min(Math.max(value, least), most))));
    const whole = triangles.filter((corners) => corners.every((point) => z[point] !== null));
    const [i, j, k] = [0, 1, 2].map((corner) => whole.map((corners) => corners[corner]));
    const [cmin, cmax] = [least, most].map(level(name));
    const filled = z.map((value) => value ?? cmin), unit = isLoss(name) ? " nats" : " %";
    const found = [
      { type: "mesh3d", x, y, z: filled, i, j, k, intensity: filled, cmin, cmax, colorscale: "Viridis", showscale: false,
        lighting: { ambient: 0.72, diffuse: 0.55, specular: 0.08, roughness: 0.8 },
        text: values.map((value) => (value === null ? "" : `${+value.toPrecision(4)}${unit}`)), hovertemplate: "α %{x}, β %{y}<br>%{text}<extra></extra>" },
      contours(x, y, z, whole, cmin, cmax),
    ];
    const here = z.find((value, point) => value !== null && Math.abs(x[point]) < 1e-9 && Math.abs(y[point]) < 1e-9);
    if (here !== undefined) found.push({ type: "scatter3d", mode: "markers", x: [0], y: [0], z: [here], hovertemplate: "the trained network<extra></extra>",
      marker: { size: 5, color: "#d9662b", symbol: "diamond", line: { width: 1, color: "#fff" } } });
    return found;
  }

  // Lines of equal height, straight through each triangle, as a shadow on the floor.
  function contours(x, y, z, triangles, low, high) {
    const line = { x: [], y: [], z: [], color: [] };
    const floor = low - 0.02 * (high - low);
    for (let count = 1; count < LINES; count++) {
      const at = low + count * (high - low) / LINES;
      for (const corners of triangles) {
        const cut = [];
        corners.forEach((one, place) => {
          const other = corners[(place + 1) % 3];
          if ((z[one] < at) === (z[other] < at)) return;
          const share = (at - z[one]) / (z[other] - z[one]);
          cut.push([x[one] + share * (x[other] - x[one]), y[one] + share * (y[other] - y[one])]);
        });
        if (cut.length < 2) continue;
        line.x.push(cut[0][0], cut[1][0], null);
        line.y.push(cut[0][1], cut[1][1], null);
        line.z.push(floor, floor, null);
        line.color.push(at, at, at);
      }
    }
    return { type: "scatter3d", mode: "lines", x: line.x, y: line.y, z: line.z, hoverinfo: "skip",
      line: { width: 2, color: line.color, colorscale: "Viridis", cmin: low, cmax: high } };
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
        xaxis: { ...plain, title: { text: "α" }, range: ends(surface.alpha) }, yaxis: { ...plain, title: { text: "β" }, range: ends(surface.beta) },
        zaxis: { ...plain, title: { text: values[name] }, ...axis(name, extent) },
        aspectmode: "manual", aspectratio: { x: 1, y: 1, z: 0.75 }, camera: camera(), dragmode: "turntable",
      },
    };
    if (!panel.drawn) { panel.scene.textContent = ""; panel.scene.classList.remove("waiting"); }
    await library.react(panel.scene, traces(surface, name, extent), layout, { displayModeBar: false, responsive: true, scrollZoom: true, plotGlPixelRatio: devicePixelRatio });
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
  }, { rootMargin: "200px" });
  seen.observe(parent);
})();
