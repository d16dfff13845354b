// The zoomable timeline: lanes, waits, critical path and counters on one canvas.
class TimelineView {
  constructor(data) {
    this.data = data;
    this.canvas = $("canvas");
    this.pen = this.canvas.getContext("2d");
    this.view = [...data.span];
    this.selected = null;          // {lane, i}
    this.found = null;             // predicate on (lane, i)
    this.left = 128; this.top = 44; this.laneHeight = 40; this.dmaHeight = 12; this.counterHeight = 56;
    this.limits = [...data.span];
    this.byRow = new Map();
    data.lanes.forEach((lane, l) => { if (lane.row && lane.row.length) this.byRow.set(l, lane.row); });
    this.shades = data.lanes.map((lane) => this.ranks(lane));
    this.listen();
    this.resize();
    this.pick(null);
  }

  // Opcodes of a lane by total time: the first keeps the engine's colour, others are lighter.
  ranks(lane) {
    if (!lane.opcode) return null;
    const total = new Map();
    lane.opcode.forEach((o, i) => total.set(o, (total.get(o) || 0) + lane.length[i]));
    return new Map([...total].sort((a, b) => b[1] - a[1]).map(([o], k) => [o, Math.min(k, 3)]));
  }

  shown() {
    const fold = $("fold").checked;
    let y = this.top;
    const places = [];
    this.data.lanes.forEach((lane, l) => {
      if (lane.engine === "DMA") { if (!fold) { places.push({ l, lane, y, h: this.dmaHeight }); y += this.dmaHeight; } }
      else { places.push({ l, lane, y, h: this.laneHeight }); y += this.laneHeight; }
    });
    this.countersAt = y + 8;
    return places;
  }

  resize() {
    const ratio = window.devicePixelRatio || 1, width = this.canvas.parentElement.clientWidth;
    this.places = this.shown();
    const height = this.countersAt + this.data.counters.length * this.counterHeight + 10;
    this.canvas.width = width * ratio; this.canvas.height = height * ratio;
    this.canvas.style.height = height + "px";
    this.width = width; this.height = height;
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }

  x(t) { return this.left + (t - this.view[0]) / (this.view[1] - this.view[0]) * (this.width - this.left - 10); }
  t(x) { return this.view[0] + (x - this.left) / (this.width - this.left - 10) * (this.view[1] - this.view[0]); }

  set(first, last) {
    const all = this.limits[1] - this.limits[0], span = Math.min(Math.max(last - first, 20), all * 1.02);
    let from = (first + last - span) / 2;
    from = Math.max(this.limits[0] - 0.01 * all, Math.min(from, this.limits[1] + 0.01 * all - span));
    this.view = [from, from + span];
    this.later();
  }
  zoom(factor, at) { this.set(at - (at - this.view[0]) * factor, at + (this.view[1] - at) * factor); }
  later() { if (!this.pending) this.pending = requestAnimationFrame(() => { this.pending = 0; this.draw(); }); }

  draw() {
    const p = this.pen, began = performance.now();
    p.fillStyle = css("background"); p.fillRect(0, 0, this.width, this.height);
    this.colors = {}; for (const e of [...this.data.engines, "DMA"]) this.colors[e] = css("engine-" + e);
    this.causes = this.data.causes.map((c) => css("cause-" + c));
    this.ink = { text: css("text"), muted: css("muted"), grid: css("grid"), line: css("line"), idle: css("idle"), critical: css("critical"), background: css("background") };
    this.minimap();
    this.axis();
    for (const place of this.places) this.lane(place);
    if ($("critical").checked) this.critical();
    this.data.counters.forEach((c, i) => this.counter(c, this.countersAt + i * this.counterHeight));
    this.select();
    const tick = this.data.tick_ps;
    $("range").textContent = `${fmt.time(Math.max(0, this.view[0]) * tick)} to ${fmt.time(this.view[1] * tick)}: ${fmt.time((this.view[1] - this.view[0]) * tick)}`;
    this.canvas.dataset.drawMs = (performance.now() - began).toFixed(1);
  }

  // Overview of the whole run with the part shown.
  minimap() {
    const p = this.pen, w = this.width - this.left - 10, rows = this.data.lanes.filter((l) => l.engine !== "DMA");
    const h = 18 / Math.max(rows.length, 1), all = this.limits[1] - this.limits[0];
    rows.forEach((lane, k) => {
      p.fillStyle = this.colors[lane.engine];
      let last = busyBefore(lane, this.limits[0]);
      for (let x = 0; x < w; x += 2) {
        const next = busyBefore(lane, this.limits[0] + all * (x + 2) / w), share = (next - last) / (all * 2 / w);
        if (share > 0.01) { p.globalAlpha = 0.25 + 0.75 * Math.min(1, share); p.fillRect(this.left + x, 2 + k * h, 2, h); }
        last = next;
      }
    });
    p.globalAlpha = 1;
    const a = this.left + (this.view[0] - this.limits[0]) / all * w, b = this.left + (this.view[1] - this.limits[0]) / all * w;
    p.strokeStyle = this.ink.text; p.lineWidth = 1.5; p.strokeRect(a, 1, Math.max(b - a, 3), 20);
    p.fillStyle = this.ink.muted; p.font = "11px system-ui"; p.textAlign = "right"; p.fillText("whole run", this.left - 8, 15);
  }

  axis() {
    const p = this.pen, tick = this.data.tick_ps, span = (this.view[1] - this.view[0]) * tick;
    const [unit, name] = [[1e12, "s"], [1e9, "ms"], [1e6, "µs"], [1e3, "ns"], [1, "ps"]].find(([u]) => span >= u * 2) || [1, "ps"];
    const rough = span / unit / 8, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough) * unit / tick;
    p.font = "11px system-ui"; p.textAlign = "center"; p.fillStyle = this.ink.muted; p.strokeStyle = this.ink.grid; p.lineWidth = 1;
    for (let t = Math.ceil(this.view[0] / step) * step; t <= this.view[1]; t += step) {
      const x = Math.round(this.x(t)) + 0.5;
      p.beginPath(); p.moveTo(x, 40); p.lineTo(x, this.height); p.stroke();
      const value = t * tick / unit;
      p.fillText(`${Math.abs(value) < 1e-9 ? 0 : parseFloat(value.toPrecision(9))} ${name}`, x, 35);
    }
  }

  lane({ l, lane, y, h }) {
    const p = this.pen, dma = lane.engine === "DMA", bar = dma ? h - 2 : h - 18, from = y + (dma ? 1 : 5);
    p.fillStyle = this.ink.text; p.textAlign = "right"; p.font = dma ? "9px system-ui" : "13px system-ui";
    p.fillText(lane.name, this.left - 8, y + h / 2 + 4);
    p.strokeStyle = this.ink.grid; p.beginPath(); p.moveTo(0, y + 0.5); p.lineTo(this.width, y + 0.5); p.stroke();
    const base = this.colors[lane.engine], perPixel = (this.view[1] - this.view[0]) / (this.width - this.left - 10);
    const first = Math.max(0, before(lane.start, this.view[0]) - 8), last = before(lane.start, this.view[1]);
    const labels = [];
    let x = this.left, busyAt = null;
    if (last - first < 3 * (this.width - this.left)) {
      for (let i = first; i <= last; i++) {
        const a = Math.max(this.x(lane.start[i]), this.left), b = Math.min(this.x(lane.start[i] + lane.length[i]), this.width - 10);
        if (b < this.left) continue;
        const rank = lane.opcode ? this.shades[l].get(lane.opcode[i]) : 0;
        p.fillStyle = base; p.globalAlpha = this.found && !this.found(lane, i) ? 0.15 : [1, 0.72, 0.5, 0.36][rank];
        const half = lane.engine === "Tensor" && rank > 0, top = half ? from + bar * 0.62 : from, height = half ? bar * 0.38 : lane.engine === "Tensor" ? bar * 0.6 : bar;
        p.fillRect(a, top, Math.max(b - a - (b - a > 4 ? 0.7 : 0), 0.6), height);
        if (lane.opcode && height > 12) {     // what shows of a bar ends where the next of its opcode begins
          let k = i + 1; while (k <= last && k < i + 4 && lane.opcode[k] !== lane.opcode[i]) k++;
          const end = k <= last && lane.opcode[k] === lane.opcode[i] ? Math.min(b, this.x(lane.start[k])) : b;
          if (end - a > 34) labels.push([a, end, top + height / 2 + 4, lane.opcode[i], rank]);
        }
        if (lane.wait && lane.wait[i] > perPixel) this.wait(lane, i, y + h - 10);
      }
    } else {       // more instructions than pixels: exact share of each pixel from the prefix sums
      busyAt = busyBefore(lane, this.view[0]);
      for (; x < this.width - 10; x++) {
        const t = this.t(x + 1), now = busyBefore(lane, t), share = (now - busyAt) / perPixel;
        busyAt = now;
        if (share < 0.004) continue;
        const i = Math.max(0, before(lane.start, t - perPixel / 2)), rank = lane.opcode ? this.shades[l].get(lane.opcode[i]) : 0;
        p.fillStyle = base; p.globalAlpha = (0.15 + 0.85 * Math.min(1, share)) * (rank ? 0.8 : 1);
        if (this.found) p.globalAlpha *= this.anyFound(lane, i, t) ? 1 : 0.2;
        p.fillRect(x, from, 1, bar);
      }
      if (lane.wait) for (x = this.left; x < this.width - 10; x += 2) {
        const i = before(lane.start, this.t(x + 2)), k = before(lane.start, this.t(x));
        if (i >= 0 && lane.waits[i + 1] - lane.waits[Math.max(k, 0)] > 0.1 * perPixel && lane.wait[i]) {
          p.fillStyle = this.causes[lane.cause[i]]; p.globalAlpha = 0.6; p.fillRect(x, y + h - 10, 2, 5);
        }
      }
    }
    p.globalAlpha = 1; p.font = "11px system-ui"; p.textAlign = "center";
    for (const [a, b, at, o, rank] of labels.slice(0, 400)) {
      const name = this.data.opcodes[o];
      if (p.measureText(name).width < b - a - 4) { p.fillStyle = rank < 2 ? this.ink.background : this.ink.text; p.fillText(name, (a + b) / 2, at); }
    }
  }

  anyFound(lane, i, t) {
    for (let k = i; k >= 0 && k > i - 200; k--) if (this.found(lane, k)) return true;
    return false;
  }

  wait(lane, i, y) {
    const p = this.pen, b = this.x(lane.start[i]), a = Math.max(this.x(lane.start[i] - lane.wait[i]), this.left);
    p.fillStyle = this.causes[lane.cause[i]]; p.globalAlpha = 0.65; p.fillRect(a, y, b - a, 6);
    if (b - a > 14) { p.globalAlpha = 1; p.fillStyle = this.ink.text; p.font = "9px system-ui"; p.textAlign = "center"; p.fillText(this.symbol(lane.cause[i]), (a + b) / 2, y + 6); }
  }
  symbol(cause) { return this.data.inks.causes[this.data.causes[cause]].split("|")[0]; }

  critical() {
    const p = this.pen, c = this.data.critical, lanes = this.places.filter((q) => q.lane.row);
    if (!this.laneOfRow) { this.laneOfRow = new Map(); lanes.forEach((q) => q.lane.row.forEach((r) => this.laneOfRow.set(r, q.l))); }
    const y = new Map(lanes.map((q) => [q.l, q.y]));
    p.fillStyle = this.ink.critical;
    const first = Math.max(0, before(c.start, this.view[0]) - 1);
    let lastX = -1;
    for (let i = first; i < c.row.length && c.start[i] < this.view[1]; i++) {
      const a = Math.max(this.x(c.start[i]), this.left), b = Math.min(this.x(c.end[i]), this.width - 10);
      if (b < this.left || (b < lastX + 0.3 && b - a < 0.3)) continue;
      const at = c.kind[i] === 1 ? this.countersAt - 4 : y.get(this.laneOfRow.get(c.row[i]));
      if (at === undefined || c.kind[i] > 1) continue;
      p.fillRect(a, at + 1, Math.max(b - a, 0.7), 3); lastX = b;
    }
  }

  counter(c, y) {
    const p = this.pen, h = this.counterHeight - 12, n = c.time.length;
    let peak = 0; for (let i = 0; i < n; i++) if (c.high[i] > peak) peak = c.high[i];
    const top = (c.limit && c.limit <= 2.5 * peak ? Math.max(c.limit, peak) : peak) * 1.08 || 1;
    const memory = { SBUF: "memory-SBUF", PSUM: "memory-PSUM", HBM: "memory-HBM" }[c.name.split(" ")[0]] || "engine-DMA";
    p.fillStyle = css(memory);
    const height = (v) => y + 4 + h - v / top * h, right = this.width - 10;
    let i = Math.max(0, before(c.time, this.view[0])), sum = areaBefore(c, this.view[0]);
    for (let x = this.left; x < right; x++) {         // the mean of each pixel solid, its highest value as a shade
      const until = this.t(x + 1), next = areaBefore(c, until), mean = (next - sum) / (until - this.t(x));
      let high = c.high[i];
      while (i + 1 < n && c.time[i + 1] < until) high = Math.max(high, c.high[++i]);
      sum = next;
      p.globalAlpha = 0.22; p.fillRect(x, height(high), 1, height(mean) - height(high));
      p.globalAlpha = 0.55; p.fillRect(x, height(mean), 1, y + 4 + h - height(mean));
      p.globalAlpha = 1; p.fillRect(x, height(mean) - 0.5, 1, 1);
    }
    if (c.limit && c.limit <= top) { p.setLineDash([4, 3]); p.strokeStyle = this.ink.muted; p.beginPath(); p.moveTo(this.left, height(c.limit)); p.lineTo(this.width - 10, height(c.limit)); p.stroke(); p.setLineDash([]); }
    p.fillStyle = this.ink.text; p.font = "11px system-ui"; p.textAlign = "right";
    const words = c.name.replace(/ (bytes|GB\/s)$/, "");
    p.fillText(words, this.left - 8, y + h / 2 + 6);
    const most = "peak " + fmt.counter(c.name, peak) + (c.limit ? " of " + fmt.counter(c.name, c.limit) : "");
    p.globalAlpha = 0.75; p.fillStyle = this.ink.background; p.fillRect(this.width - 18 - p.measureText(most).width, y + 2, p.measureText(most).width + 6, 14);
    p.globalAlpha = 1; p.fillStyle = this.ink.muted; p.fillText(most, this.width - 14, y + 13);
  }

  select() {
    if (!this.selected) return;
    const { lane, i } = this.selected, place = this.places.find((q) => q.lane === lane), p = this.pen;
    if (!place) return;
    const a = this.x(lane.start[i]), b = this.x(lane.start[i] + lane.length[i]);
    p.strokeStyle = this.ink.text; p.lineWidth = 2; p.strokeRect(a - 1, place.y + 3, Math.max(b - a, 2) + 2, place.h - (place.h > 20 ? 14 : 4));
    const from = lane.on && lane.row && lane.on[i] >= 0 ? this.find(lane.on[i]) : null, other = from && this.places.find((q) => q.lane === from.lane);
    if (other) {
      const x = this.x(from.lane.start[from.i] + from.lane.length[from.i]);
      p.lineWidth = 1.2; p.beginPath(); p.moveTo(x, other.y + other.h / 2); p.lineTo(a, place.y + place.h / 2); p.stroke();
      p.beginPath(); p.arc(x, other.y + other.h / 2, 3, 0, 7); p.fillStyle = this.ink.text; p.fill();
    }
  }

  // Where an instruction is, by its row number.
  find(row) {
    for (const [l, rows] of this.byRow) {
      let low = 0, high = rows.length - 1;
      while (low <= high) { const mid = (low + high) >> 1; if (rows[mid] === row) return { lane: this.data.lanes[l], i: mid }; if (rows[mid] < row) low = mid + 1; else high = mid - 1; }
    }
    return null;
  }

  at(x, y) {
    const place = this.places.find((q) => y >= q.y && y < q.y + q.h);
    if (!place || x < this.left) return null;
    const t = this.t(x), slack = this.t(x + 2) - t;
    for (let i = before(place.lane.start, t + slack), k = 0; i >= 0 && k < 6; i--, k++)
      if (place.lane.start[i] + place.lane.length[i] >= t - slack) return { lane: place.lane, i };
    return null;
  }

  describe({ lane, i }, long) {
    const d = this.data, tick = d.tick_ps, lines = [];
    if (lane.engine === "DMA") return `${lane.name}: ${fmt.size(lane.bytes[i])}, ${fmt.time(lane.length[i] * tick)}\nat ${fmt.time(lane.start[i] * tick)}`;
    lines.push(`${d.opcodes[lane.opcode[i]]} on ${lane.name}: ${fmt.time(lane.length[i] * tick)} from ${fmt.time(lane.start[i] * tick)}`);
    const site = d.sites[lane.site[i]];
    if (site) lines.push(`${site[0]}:${site[1]}`);
    if (lane.wait[i] > 0) lines.push(`engine idle ${fmt.time(lane.wait[i] * tick)} before it, waiting for ${d.inks.causes[d.causes[lane.cause[i]]].split("|")[1]}`);
    if (lane.done[i] > lane.length[i]) lines.push(`result usable ${fmt.time(lane.done[i] * tick)} after its start`);
    return lines.join("\n");
  }

  pick(hit, move) {
    this.selected = hit;
    const box = $("detail"); box.replaceChildren();
    if (!hit) { box.append("Click an instruction to see its operands, its source line and what it waited for."); this.later(); return; }
    const { lane, i } = hit, d = this.data;
    if (move) { const mid = lane.start[i] + lane.length[i] / 2, span = this.view[1] - this.view[0]; if (mid < this.view[0] || mid > this.view[1]) this.set(mid - span / 2, mid + span / 2); }
    box.append(element("div", { class: "code" }, this.describe(hit)));
    if (lane.operands && lane.operands[i] >= 0) box.append(element("div", { class: "code" }, d.strings[lane.operands[i]]));
    const site = lane.site && d.sites[lane.site[i]];
    if (site) {
      const file = d.sources.find((s) => s.file === site[0]);
      if (file && file.lines[site[1] - 1] !== undefined) box.append(element("div", { class: "code" }, `${site[1]}  ${file.lines[site[1] - 1].trim()}`));
    }
    const on = lane.on ? this.find(lane.on[i]) : null;
    if (on) box.append(element("button", { id: "follow", onclick: () => this.follow() }, (lane.row ? "it waited for " : "triggered by ") + this.describe(on).split("\n")[0] + " [w]"));
    this.later();
  }
  follow() { const s = this.selected; if (!s || !s.lane.on) return; const on = this.find(s.lane.on[s.i]); if (on) this.pick(on, true); }

  listen() {
    const c = this.canvas, tip = $("tip"), local = (e) => { const r = c.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
    let drag = null;
    c.addEventListener("wheel", (e) => { e.preventDefault(); const [x] = local(e); if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) { const by = (e.deltaX || e.deltaY) / this.width * (this.view[1] - this.view[0]); this.set(this.view[0] + by, this.view[1] + by); } else this.zoom(Math.exp(e.deltaY * 0.0015), this.t(x)); }, { passive: false });
    c.addEventListener("pointerdown", (e) => { const [x, y] = local(e); drag = { x, y, view: [...this.view], moved: false, range: e.shiftKey, map: y < 24 }; c.setPointerCapture(e.pointerId); if (drag.map) this.jump(x); });
    c.addEventListener("pointermove", (e) => {
      const [x, y] = local(e);
      if (drag) {
        if (Math.abs(x - drag.x) > 3) drag.moved = true;
        if (drag.map) this.jump(x);
        else if (drag.range) { this.draw(); this.pen.globalAlpha = 0.2; this.pen.fillStyle = this.ink.text; this.pen.fillRect(Math.min(x, drag.x), 24, Math.abs(x - drag.x), this.height); this.pen.globalAlpha = 1; }
        else if (drag.moved) { const by = (drag.x - x) / (this.width - this.left - 10) * (drag.view[1] - drag.view[0]); this.set(drag.view[0] + by, drag.view[1] + by); }
        return;
      }
      const hit = this.at(x, y);
      tip.hidden = !hit;
      if (hit) { tip.textContent = this.describe(hit); tip.style.left = Math.min(x + 14, this.width - 380) + "px"; tip.style.top = y + 16 + "px"; }
    });
    c.addEventListener("pointerup", (e) => {
      const [x, y] = local(e), d = drag; drag = null;
      if (!d || d.map) return;
      if (d.range && d.moved) { const view = this.view, at = (v) => view[0] + (v - this.left) / (this.width - this.left - 10) * (view[1] - view[0]); this.set(at(Math.min(x, d.x)), at(Math.max(x, d.x))); }
      else if (!d.moved) this.pick(this.at(x, y), false);
    });
    c.addEventListener("pointerleave", () => { tip.hidden = true; });
    c.addEventListener("dblclick", () => this.set(...this.data.span));
    c.addEventListener("keydown", (e) => {
      const span = this.view[1] - this.view[0], mid = (this.view[0] + this.view[1]) / 2;
      const action = { "+": () => this.zoom(0.6, mid), "=": () => this.zoom(0.6, mid), "-": () => this.zoom(1.6, mid), ArrowLeft: () => this.set(this.view[0] - span / 5, this.view[1] - span / 5),
        ArrowRight: () => this.set(this.view[0] + span / 5, this.view[1] + span / 5), h: () => this.set(this.view[0] - span / 5, this.view[1] - span / 5), l: () => this.set(this.view[0] + span / 5, this.view[1] + span / 5),
        0: () => this.set(...this.data.span), w: () => this.follow(), Escape: () => this.pick(null) }[e.key];
      if (action) { e.preventDefault(); action(); }
    });
    $("fold").onchange = () => this.resize();
    $("critical").onchange = () => this.later();
    $("find").oninput = (e) => this.search(e.target.value.trim());
    window.addEventListener("resize", () => this.resize());
  }
  jump(x) { const all = this.limits[1] - this.limits[0], t = this.limits[0] + (x - this.left) / (this.width - this.left - 10) * all, span = this.view[1] - this.view[0]; this.set(t - span / 2, t + span / 2); }

  search(text) {
    if (!text) this.found = null;
    else if (/^\d+$/.test(text)) this.line(null, Number(text));
    else { const wanted = new Set(this.data.opcodes.map((o, i) => o.toLowerCase().includes(text.toLowerCase()) ? i : -1)); this.found = (lane, i) => lane.opcode && wanted.has(lane.opcode[i]); }
    this.later();
  }
  line(file, number) {
    const wanted = new Set(this.data.sites.map((s, i) => s[1] === number && (!file || s[0] === file) ? i : -1));
    this.found = (lane, i) => lane.site && wanted.has(lane.site[i]);
    this.later();
  }
}
