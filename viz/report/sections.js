// Summary, legend, explanation and source; then everything starts.
function drawSummary(data) {
  const s = data.summary, tick = data.tick_ps;
  for (const line of s.headline) $("headline").append(element("p", {}, line));
  const cards = [["span", fmt.time(s.span_ps)], ["instructions", fmt.count(s.instructions)], ["rate", fmt.flops(s.flops_per_s)], ["HBM", fmt.rate(s.hbm_bytes_per_s)], ["intensity", s.intensity == null ? "–" : digits(s.intensity) + " FLOP/B"], ["bottleneck", s.bottleneck]];
  for (const [name, value] of cards) $("cards").append(element("div", { class: "card" }, element("b", {}, value), element("span", {}, name)));
  const bar = (name, share) => element("span", { class: "bar" }, element("i", { style: `width: ${100 * Math.min(1, share)}%; background: var(--engine-${name})` }));
  const symbol = (name) => data.inks.engines[name].split("|")[0];
  const cores = new Set(s.engines.map((e) => e.core)).size > 1;
  const row = (name, label, busy, share, count, stalls, most) => [element("span", {}, chip("engine", name, symbol(name)), label), fmt.time(busy), element("span", {}, fmt.percent(share), bar(name, share)), fmt.count(count), stalls, most];
  const rows = s.engines.map((e) => row(e.engine, e.engine + (cores ? ` (core ${e.core})` : ""), e.busy_ps, e.utilisation, e.instructions,
    element("span", {}, ...Object.entries(e.stalls).slice(0, 3).flatMap(([c, ps]) => [chip("cause", c, data.inks.causes[c].split("|")[0]), `${c} ${fmt.time(ps)}  `])),
    e.opcodes.slice(0, 3).map((o) => `${o.opcode} ×${o.instructions} ${fmt.time(o.time_ps)}`).join(", ")));
  if (s.dma.transfers) rows.push(row("DMA", "DMA", s.dma.busy_ps, s.dma.utilisation, s.dma.transfers, "", `${s.dma.engines} engines, ${fmt.percent(s.dma.engine_utilisation)} busy each; ${fmt.rate(s.dma.bytes_per_s)}` + (s.dma.bytes_per_descriptor ? `; ${fmt.size(s.dma.bytes_per_descriptor)} per descriptor` : "")));
  $("tables").append(table(["engine", "busy", "of span", "instr.", "idle, waiting for", "most time in"], rows, [1, 2, 3]));
  const shares = (entries) => entries.map(([k, ps]) => [data.inks.engines[k] ? element("span", {}, chip("engine", k, symbol(k)), k) : k, fmt.time(ps), fmt.percent(ps / s.span_ps)]);
  if (Object.keys(s.bounds_ps).length) $("tables").append(table(["no schedule is shorter than", "", "of span"], shares(Object.entries(s.bounds_ps).sort((a, b) => b[1] - a[1])), [1, 2]));
  $("tables").append(table(["critical path", "", "of span"], shares(Object.entries(s.critical_path_ps).sort((a, b) => b[1] - a[1])), [1, 2]));
}

function drawComparison(data) {
  for (const line of data.comparison.headline) $("headline").append(element("p", {}, line));
  for (const t of data.comparison.tables) $("tables").append(element("div", {}, element("h3", {}, t.title), table(t.header, t.rows, t.right)));
}

function drawLegend(data) {
  for (const [name, words] of Object.entries(data.inks.causes)) $("legend").append(element("span", {}, chip("cause", name, words.split("|")[0]), name + ": " + words.split("|")[1]));
  $("legend").append(element("span", {}, element("span", { class: "chip", style: "background: var(--critical)" }, "!"), "critical path, over the bars"));
}

function drawExplain(data, view) {
  const e = data.explain, box = $("findings");
  if (!e) { $("explain").hidden = true; return; }
  for (const note of e.notes || []) box.append(element("p", {}, note));
  for (const f of e.findings || []) {
    const where = f.file ? element("a", { href: "#source", onclick: () => view.line(f.file, f.line) }, `${f.file}:${f.line}`) : null;
    box.append(element("div", { class: "finding" }, element("span", { class: "save" }, f.saving_ps ? `would save ${fmt.time(f.saving_ps)} (${fmt.percent(f.saving_ps / e.span_ps)})` : f.cost_ps ? `takes ${fmt.time(f.cost_ps)}` : ""),
      element("h3", {}, f.title), element("div", {}, f.message + "."), element("div", {}, element("b", {}, "What to change: "), f.advice), where, f.source ? element("div", { class: "code" }, f.source) : null));
  }
  if (!(e.findings || []).length) box.append(element("p", {}, "None of the ten optimisations of the vendor's performance guide would shorten this run noticeably."));
}

function drawSource(data, view) {
  if (!data.sources.length) { $("source").hidden = true; return; }
  for (const file of data.sources) {
    const most = Math.max(1, ...Object.values(file.figures).map((f) => f.critical));
    const body = element("tbody");
    file.lines.forEach((text, i) => {
      const f = file.figures[i + 1], cells = [element("td", { class: "no" }, String(i + 1))];
      cells.push(element("td", f ? { class: "heat", style: `--w: ${100 * f.critical / most}%` } : {}, text || " "));
      cells.push(...(f ? [fmt.count(f.instructions), fmt.time(f.critical), fmt.time(Object.values(f.busy).reduce((a, b) => a + b, 0) || f.dma), fmt.time(f.wait), f.hbm ? fmt.size(f.hbm) : ""] : ["", "", "", "", ""]).map((v) => element("td", { class: "number" }, v)));
      const row = element("tr", f ? { class: "hot", title: "show this line in the timeline" } : {}, ...cells);
      if (f) row.onclick = () => { document.querySelectorAll(".file tr.on").forEach((r) => r.classList.remove("on")); row.classList.add("on"); view.line(file.file, i + 1); };
      body.append(row);
    });
    const head = ["", file.file, "instr.", "critical path", "busy", "waits", "HBM"].map((h, i) => element("th", i > 1 ? { class: "number" } : {}, h));
    $("files").append(element("div", { class: "file" }, element("table", {}, element("thead", {}, element("tr", {}, ...head)), body)));
  }
}

async function start() {
  const root = document.documentElement;
  root.dataset.theme = window.matchMedia && matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const data = await unpack();
  for (const id of ["summary", "timeline", "explain", "roofline", "source"]) $(id).hidden = false;
  if (data.comparison) drawComparison(data); else drawSummary(data);
  drawLegend(data);
  const view = new TimelineView(data);
  drawExplain(data, view); drawRoofline(data); drawSource(data, view);
  $("theme").onclick = () => { root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; view.draw(); };
  for (const link of document.querySelectorAll("nav a")) link.hidden = $(link.hash.slice(1)).hidden;
  $("status").hidden = true;
  window.report = { data, view };
  root.dataset.ready = "yes";
}
start().catch((e) => { $("status").textContent = "This report could not be shown: " + e.message; document.documentElement.dataset.ready = "failed"; });
