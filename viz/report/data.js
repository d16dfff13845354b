// Unpacks the page's data and formats figures as simcore.format does.
const $ = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

async function unpack() {
  const text = atob($("data").textContent.trim());
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const types = { int8: Int8Array, int16: Int16Array, int32: Int32Array, float32: Float32Array, float64: Float64Array };
  const column = (c) => new types[c.type](buffer, 8 + length + c.at, c.n);
  for (const lane of head.lanes) {
    for (const key of Object.keys(lane)) if (lane[key] && lane[key].type) lane[key] = column(lane[key]);
    prepare(lane);
  }
  for (const c of head.counters) {
    for (const key of ["time", "mean", "high"]) c[key] = column(c[key]);
    c.area = new Float64Array(c.time.length);      // integral of the mean before each step, for means of any stretch
    for (let i = 1; i < c.time.length; i++) c.area[i] = c.area[i - 1] + c.mean[i - 1] * (c.time[i] - c.time[i - 1]);
  }
  for (const key of ["row", "kind", "start", "end"]) head.critical[key] = column(head.critical[key]);
  return head;
}

// Absolute starts from differences, and prefix sums: busy time before instruction i, for exact shares at any zoom.
function prepare(lane) {
  const n = lane.start.length, start = new Float64Array(n), busy = new Float64Array(n + 1), wait = new Float64Array(n + 1);
  let at = 0, row = 0, covered = 0;
  if (lane.rows) lane.row = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    start[i] = at += lane.start[i];
    if (lane.rows) lane.row[i] = row += lane.rows[i];
    const from = Math.max(at, covered), to = at + lane.length[i];
    busy[i + 1] = busy[i] + Math.max(0, to - from);      // overlapping instructions count once
    covered = Math.max(covered, to);
    wait[i + 1] = wait[i] + (lane.wait ? lane.wait[i] : 0);
  }
  Object.assign(lane, { start, busy, waits: wait });
}

// The last index whose start is at or before t, -1 when none.
function before(start, t) {
  let low = 0, high = start.length;
  while (low < high) { const mid = (low + high) >> 1; if (start[mid] <= t) low = mid + 1; else high = mid; }
  return low - 1;
}

// Busy time of a lane before t.
function busyBefore(lane, t) {
  const i = before(lane.start, t);
  if (i < 0) return 0;
  return lane.busy[i] + Math.min(lane.busy[i + 1] - lane.busy[i], Math.max(0, t - (lane.start[i] + lane.length[i] - (lane.busy[i + 1] - lane.busy[i]))));
}

// Integral of a counter before t.
function areaBefore(c, t) {
  const i = Math.min(before(c.time, t), c.time.length - 2);
  return i < 0 ? 0 : c.area[i] + c.mean[i] * (Math.min(t, c.time[c.time.length - 1]) - c.time[i]);
}

function digits(v, n = 3) {
  if (v === 0) return "0";
  const whole = Math.max(0, n - 1 - Math.floor(Math.log10(Math.abs(v))));
  return v.toFixed(Math.min(whole, 12));
}
function scaled(v, units, step) {
  let i = 0;
  while (i + 1 < units.length && Math.abs(v) >= step - 0.5) { v /= step; i++; }
  return `${i === 0 && Number.isInteger(v) ? v : digits(v)} ${units[i]}`.trim();
}
const fmt = {
  time: (ps) => (ps === 0 ? "0 ns" : scaled(ps, ["ps", "ns", "µs", "ms", "s"], 1000)),
  size: (b) => (b == null ? "–" : scaled(b, ["B", "KiB", "MiB", "GiB"], 1024)),
  rate: (b) => (b == null ? "–" : scaled(b, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"], 1000)),
  flops: (f) => (f == null ? "–" : scaled(f, ["FLOP/s", "kFLOP/s", "MFLOP/s", "GFLOP/s", "TFLOP/s", "PFLOP/s"], 1000)),
  percent: (f) => (f == null ? "–" : f > 0 && f < 0.0005 ? "<0.1 %" : f >= 0.0995 || f === 0 ? `${Math.round(100 * f)} %` : `${(100 * f).toFixed(1)} %`),
  count: (n) => n.toLocaleString("en").replaceAll(",", " "),
  counter: (name, v) => name.endsWith(" bytes") ? fmt.size(v) : name.endsWith(" GB/s") ? fmt.rate(v * 1e9) : fmt.count(Math.round(v)),
};

function element(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) if (k === "class") e.className = v; else if (k.startsWith("on")) e[k] = v; else if (k === "style") e.style.cssText = v; else e.setAttribute(k, v);
  e.append(...children.filter((c) => c != null));
  return e;
}
function table(header, rows, numbers = []) {
  const cell = (tag, v, i) => element(tag, numbers.includes(i) ? { class: "number" } : {}, v);
  return element("table", {}, element("thead", {}, element("tr", {}, ...header.map((h, i) => cell("th", h, i)))),
    element("tbody", {}, ...rows.map((r) => element("tr", {}, ...r.map((v, i) => cell("td", v, i))))));
}
const chip = (kind, name, symbol) => element("span", { class: "chip", style: `background: var(--${kind}-${name})`, title: name }, symbol);
