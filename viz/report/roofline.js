// The roofline as SVG: hover for figures, click a bandwidth to hide it.
function drawRoofline(data) {
  const roof = data.roofline, box = $("roof");
  if (!roof) { $("roofline").hidden = true; return; }
  const W = 1000, H = 520, left = 92, right = 20, top = 20, bottom = 48;
  const point = roof.points[0], values = [point.achieved, point.algorithmic, ...Object.values(point.levels), ...roof.ceilings.map((c) => c.ridge)].filter((v) => v);
  const lowX = 10 ** Math.floor(Math.log10(Math.min(...values) / 2)), highX = 10 ** Math.ceil(Math.log10(Math.max(...values) * 3));
  const peak = Math.max(...roof.ceilings.map((c) => c.flops_per_s)), lowY = Math.min(point.flops_per_s || Infinity, ...roof.ceilings.map((c) => c.flops_per_s)) / 4, highY = peak * 3;
  const x = (v) => left + Math.log(v / lowX) / Math.log(highX / lowX) * (W - left - right), y = (v) => H - bottom - Math.log(v / lowY) / Math.log(highY / lowY) * (H - top - bottom);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`); svg.setAttribute("role", "img"); svg.setAttribute("aria-label", "Roofline of this run");
  const add = (tag, attributes, text, parent = svg) => { const e = document.createElementNS(svg.namespaceURI, tag); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); if (text != null) e.textContent = text; parent.append(e); return e; };
  const title = (e, text) => add("title", {}, text, e);
  for (let v = lowX; v <= highX * 1.001; v *= 10) { add("line", { x1: x(v), x2: x(v), y1: top, y2: H - bottom, stroke: "var(--grid)" }); add("text", { x: x(v), y: H - bottom + 18, "text-anchor": "middle", fill: "var(--muted)" }, v < 1 ? v.toPrecision(1) : fmt.count(v)); }
  for (let v = 10 ** Math.ceil(Math.log10(lowY)); v <= highY; v *= 10) { add("line", { x1: left, x2: W - right, y1: y(v), y2: y(v), stroke: "var(--grid)" }); add("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end", fill: "var(--muted)" }, fmt.flops(v).replace(".00", "").replace(".0 ", " ")); }
  add("text", { x: (left + W - right) / 2, y: H - 8, "text-anchor": "middle", fill: "var(--text)" }, "arithmetic intensity [FLOP per byte of HBM traffic]");
  let under = Infinity;
  for (const c of roof.ceilings) {
    const color = `var(--engine-${c.engine})`, line = add("line", { x1: x(Math.max(c.ridge, lowX)), x2: W - right, y1: y(c.flops_per_s), y2: y(c.flops_per_s), stroke: color, "stroke-width": 2.5 });
    title(line, `${c.name}: ${fmt.flops(c.flops_per_s)}, ridge at ${digits(c.ridge)} FLOP/B`);
    add("text", { x: W - right - 4, y: y(c.flops_per_s) + (under / c.flops_per_s < 1.6 ? 15 : -5), "text-anchor": "end", fill: color }, `${c.name}  ${fmt.flops(c.flops_per_s)}`);
    if (c.engine === "Tensor") { add("line", { x1: x(c.ridge), x2: x(c.ridge), y1: y(c.flops_per_s), y2: H - bottom, stroke: "var(--line)", "stroke-dasharray": "2 4" }); add("text", { x: x(c.ridge) + 4, y: H - bottom - 6, fill: "var(--muted)" }, `ridge ${digits(c.ridge)}`); }
    under = c.flops_per_s;
  }
  const keys = add("g", {});
  roof.slopes.forEach((s, i) => {
    const from = Math.max(lowX, lowY / s.bytes_per_s), to = Math.min(peak / s.bytes_per_s, highX), color = s.memory === "DMA" ? "var(--engine-DMA)" : `var(--memory-${s.memory})`;
    const dash = s.roof ? "" : { HBM: "9 3", SBUF: "2 2", PSUM: "1 4" }[s.memory] || "5 4";
    const line = add("line", { x1: x(from), y1: y(from * s.bytes_per_s), x2: x(to), y2: y(to * s.bytes_per_s), stroke: color, "stroke-width": s.roof ? 2.5 : 1.3, "stroke-dasharray": dash });
    title(line, `${s.name}: ${fmt.rate(s.bytes_per_s)}`);
    const key = add("g", { style: "cursor: pointer" }, null, keys), ly = top + 10 + i * 18;
    add("line", { x1: left + 8, x2: left + 40, y1: ly, y2: ly, stroke: color, "stroke-width": s.roof ? 2.5 : 1.3, "stroke-dasharray": dash }, null, key);
    const words = add("text", { x: left + 46, y: ly + 4, fill: "var(--text)" }, `${s.name}: ${fmt.rate(s.bytes_per_s)}`, key);
    key.addEventListener("click", () => { const hide = line.style.display !== "none"; line.style.display = hide ? "none" : ""; words.style.opacity = hide ? 0.4 : 1; });
  });
  svg.append(keys);      // over the lines, on a ground of its own
  keys.prepend(add("rect", { x: left + 3, y: top - 2, width: 268, height: 18 * roof.slopes.length + 6, fill: "var(--background)", opacity: 0.85 }, null, keys));
  if (point.achieved && point.flops_per_s) {
    const py = y(point.flops_per_s), g = add("g", { class: "point" });
    if (point.roof_flops_per_s) add("line", { x1: x(point.achieved), x2: x(point.achieved), y1: py, y2: y(point.roof_flops_per_s), stroke: "var(--series)", "stroke-dasharray": "2 3" }, null, g);
    if (point.algorithmic) { add("line", { x1: x(point.algorithmic), x2: x(point.achieved), y1: py, y2: py, stroke: "var(--series)", "stroke-width": 2 }, null, g); add("line", { x1: x(point.algorithmic), x2: x(point.algorithmic), y1: py - 12, y2: py + 12, stroke: "var(--series)", "stroke-width": 3 }, null, g); }
    for (const [level, v] of Object.entries(point.levels)) add("text", { x: x(v), y: py + 4, "text-anchor": "middle", fill: "var(--series)", "font-weight": 700 }, level[0], g);
    add("circle", { cx: x(point.achieved), cy: py, r: 8, fill: point.kind === "measured" ? "var(--background)" : "var(--series)", stroke: "var(--series)", "stroke-width": 3 }, null, g);
    title(g, `${point.name}: ${fmt.flops(point.flops_per_s)}, ${digits(point.achieved)} FLOP/B achieved` + (point.algorithmic ? `, ${digits(point.algorithmic)} algorithmic` : ""));
  }
  box.append(svg);
  const says = [`${point.kind}: ${fmt.flops(point.flops_per_s)} at ${point.achieved ? digits(point.achieved) + " FLOP per HBM byte" : "no HBM traffic"}`];
  if (point.of_roof != null) says.push(`${fmt.percent(point.of_roof)} of the roof over it`);
  if (point.algorithmic_bytes) says.push(`it moves ${digits(point.hbm_bytes / point.algorithmic_bytes)} times the ${fmt.size(point.algorithmic_bytes)} of its inputs and outputs (from the bar to the circle)`);
  box.append(element("p", {}, says.join("; ") + ". S and P: the same per byte the Tensor engine reads from SBUF and writes to PSUM."));
}
