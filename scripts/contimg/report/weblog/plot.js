"use strict";
// A plot on a canvas: points with errors, lines and outlines; zoom, pan, hover, selection, keys.
contimg.Plot = class {
  constructor(home, { x, y, label, height = 340, pick = null, select = null }) {
    Object.assign(this, { x, y, pick, select, series: [], shapes: [], marks: [], current: -1 });
    this.box = contimg.make("div", "", { class: "plot" });
    this.canvas = contimg.make("canvas", "", { tabindex: "0", role: "application", "aria-label": `${label}. Arrow keys go from point to point, Enter opens, plus and minus zoom, 0 shows all.` });
    this.canvas.style.height = `${height}px`;
    this.tip = contimg.make("div", "", { class: "tip", role: "status", hidden: "" });
    this.box.append(this.canvas, this.tip);
    home.append(this.box);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  // series: {points: [{x, y, e, low, high, text, ...}], colour, size, hollow, line}
  show(series, { shapes = [], marks = [], keep = false } = {}) {
    Object.assign(this, { series, shapes, marks });
    this.points = series.flatMap((s) => s.line ? [] : s.points).filter((p) => this.finite(p)).sort((a, b) => a.x - b.x);
    this.current = -1;
    if (!keep || !this.range) this.reset(); else this.draw();
  }

  finite(p) {
    return Number.isFinite(this.value(p.x, this.x)) && Number.isFinite(this.value(p.y, this.y));
  }

  value(v, axis) { return v === null || v === undefined ? NaN : axis.log ? Math.log10(v) : v; }

  reset() {
    const xs = [], ys = [];
    const add = (x, y) => {
      const [u, v] = [this.value(x, this.x), this.value(y, this.y)];
      if (Number.isFinite(u) && Number.isFinite(v)) { xs.push(u); ys.push(v); }
    };
    for (const s of this.series) for (const p of s.points) {
      add(p.x, p.y);
      if (p.e && !this.y.log) { add(p.x, p.y - p.e); add(p.x, p.y + p.e); }
    }
    for (const shape of this.shapes) for (const [x, y] of shape.outline) add(x, y);
    const span = (values, pad) => {
      if (!values.length) return [0, 1];
      let [low, high] = [Infinity, -Infinity];
      for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
      const margin = 0.06 * (high - low) || pad || Math.abs(high) * 0.05 || 0.5;
      return [low - margin, high + margin];
    };
    this.range = { x: span(xs, this.x.pad), y: span(ys, this.y.pad) };
    this.draw();
  }

  at(x, y) { return [this.px(this.value(x, this.x)), this.py(this.value(y, this.y))]; }
  px(u) {
    const [a, b] = this.range.x, part = (u - a) / (b - a);
    return this.left + (this.x.reverse ? 1 - part : part) * this.width;
  }
  py(v) { const [a, b] = this.range.y; return this.top + (1 - (v - a) / (b - a)) * this.height; }
  inverse(px, py) {
    const [a, b] = this.range.x, [c, d] = this.range.y;
    const part = (px - this.left) / this.width;
    return [a + (this.x.reverse ? 1 - part : part) * (b - a), c + (1 - (py - this.top) / this.height) * (d - c)];
  }

  draw() {
    if (!this.range) return;
    const ratio = window.devicePixelRatio || 1, c = this.canvas;
    const [w, h] = [c.clientWidth, c.clientHeight];
    if (!w) return;
    if (c.width !== Math.round(w * ratio) || c.height !== Math.round(h * ratio)) {
      c.width = Math.round(w * ratio);
      c.height = Math.round(h * ratio);
    }
    Object.assign(this, { left: 74, top: 10, width: w - 86, height: h - 52 });
    const g = this.g = c.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, w, h);
    g.font = "12px system-ui, sans-serif";
    this.axes();
    g.save();
    g.beginPath();
    g.rect(this.left, this.top, this.width, this.height);
    g.clip();
    this.shapes.forEach((s) => this.outline(s));
    this.marks.forEach((m) => this.mark(m));
    this.series.forEach((s) => s.line ? this.path(s) : this.dots(s));
    if (this.drag?.box) { const b = this.drag.box; g.strokeStyle = "#0b57a4"; g.strokeRect(b[0], b[1], b[2] - b[0], b[3] - b[1]); }
    const p = this.points[this.current];
    if (p) { const [u, v] = this.at(p.x, p.y); g.strokeStyle = "#000"; g.beginPath(); g.arc(u, v, 7, 0, 7); g.stroke(); }
    g.restore();
  }

  ticks([low, high], log, most) {
    if (log && high - low > 1) {
      const step = Math.ceil((high - low) / most), found = [];
      for (let k = Math.ceil(low); k <= high; k += step) found.push([k, `1e${k}`]);
      return found.map(([k]) => [k, Math.abs(k) < 4 ? String(Number((10 ** k).toPrecision(1))) : `1e${k}`]);
    }
    const raw = (high - low) / most, unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * unit).find((s) => s >= raw), found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k++) {
      const v = k * step;
      found.push([v, log ? Number((10 ** v).toPrecision(3)).toString() : Number(v.toPrecision(10)).toString()]);
    }
    return found;
  }

  axes() {
    const g = this.g, bottom = this.top + this.height;
    g.strokeStyle = "#eee"; g.fillStyle = "#444"; g.lineWidth = 1;
    g.textAlign = "center";
    for (const [v, text] of this.ticks(this.range.x, this.x.log, Math.max(3, this.width / 110))) {
      const u = this.px(v);
      g.beginPath(); g.moveTo(u, this.top); g.lineTo(u, bottom); g.stroke();
      g.fillText(this.x.format ? this.x.format(v) : text, u, bottom + 15);
    }
    g.textAlign = "right";
    for (const [v, text] of this.ticks(this.range.y, this.y.log, Math.max(3, this.height / 55))) {
      const u = this.py(v);
      g.beginPath(); g.moveTo(this.left, u); g.lineTo(this.left + this.width, u); g.stroke();
      g.fillText(text, this.left - 5, u + 4);
    }
    g.strokeStyle = "#999";
    g.strokeRect(this.left, this.top, this.width, this.height);
    g.textAlign = "center";
    g.fillText(this.x.label, this.left + this.width / 2, bottom + 34);
    g.save(); g.translate(14, this.top + this.height / 2); g.rotate(-Math.PI / 2); g.fillText(this.y.label, 0, 0); g.restore();
  }

  outline(shape) {
    const g = this.g;
    g.beginPath();
    shape.outline.forEach(([x, y], k) => { const [u, v] = this.at(x, y); k ? g.lineTo(u, v) : g.moveTo(u, v); });
    g.closePath();
    if (shape.fill) { g.fillStyle = shape.fill; g.fill(); }
    g.strokeStyle = shape.colour || "#888"; g.lineWidth = 0.8; g.stroke();
  }

  mark({ x, y, text, colour = "#999" }) {
    const g = this.g;
    g.strokeStyle = colour; g.setLineDash([4, 3]); g.beginPath();
    if (x !== undefined) { const u = this.px(this.value(x, this.x)); g.moveTo(u, this.top); g.lineTo(u, this.top + this.height); }
    else { const v = this.py(this.value(y, this.y)); g.moveTo(this.left, v); g.lineTo(this.left + this.width, v); }
    g.stroke(); g.setLineDash([]);
    if (text && x !== undefined) { g.fillStyle = colour; g.textAlign = "left"; g.fillText(text, this.px(this.value(x, this.x)) + 3, this.top + 12); }
  }

  path(s) {
    const g = this.g;
    g.strokeStyle = s.colour; g.lineWidth = 1.4; g.beginPath();
    s.points.forEach((p, k) => { const [u, v] = this.at(p.x, p.y); k ? g.lineTo(u, v) : g.moveTo(u, v); });
    g.stroke();
  }

  dots(s) {
    const g = this.g, size = s.size || 3, cross = s.shape === "cross";
    g.strokeStyle = g.fillStyle = s.colour; g.lineWidth = 1;
    for (const p of s.points) {
      const [u, v] = this.at(p.x, p.y);
      if (!Number.isFinite(u) || !Number.isFinite(v)) continue;
      if (p.e) { g.beginPath(); g.moveTo(u, this.at(p.x, p.y - p.e)[1]); g.lineTo(u, this.at(p.x, p.y + p.e)[1]); g.stroke(); }
      g.beginPath();
      if (cross) { g.moveTo(u - size, v - size); g.lineTo(u + size, v + size); g.moveTo(u - size, v + size); g.lineTo(u + size, v - size); g.stroke(); continue; }
      if (size < 2) { g.fillRect(u - size, v - size, 2 * size, 2 * size); continue; }
      g.arc(u, v, size, 0, 7);
      if (s.hollow) { g.save(); g.fillStyle = "#fff"; g.fill(); g.restore(); g.stroke(); } else g.fill();
    }
  }

  nearest(px, py, reach = 12) {
    let best = -1, least = reach * reach;
    this.points.forEach((p, k) => {
      const [u, v] = this.at(p.x, p.y), d = (u - px) ** 2 + (v - py) ** 2;
      if (d < least) { least = d; best = k; }
    });
    return best;
  }

  inside(px, py) {
    const [x, y] = this.inverse(px, py);
    return this.shapes.findLast?.((s) => s.text && contimg.within(s.outline, x, y));
  }

  point(k, shape = null) {
    this.current = k;
    const p = this.points[k] || shape;
    this.tip.hidden = !p;
    if (p) {
      this.tip.textContent = p.text;
      const [u, v] = this.points[k] ? this.at(p.x, p.y) : this.mouse;
      this.tip.style.left = `${Math.min(u + 12, Math.max(0, this.canvas.clientWidth - 250))}px`;
      this.tip.style.top = `${v + 12}px`;
    }
    this.canvas.style.cursor = p && this.pick ? "pointer" : "crosshair";
    this.draw();
  }

  zoom(factor, px, py) {
    const [x, y] = this.inverse(px, py), scale = ([a, b], c) => [c + (a - c) * factor, c + (b - c) * factor];
    this.range = { x: scale(this.range.x, x), y: scale(this.range.y, y) };
    this.draw();
  }

  listen() {
    const c = this.canvas, where = (e) => { const r = c.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
    c.addEventListener("wheel", (e) => { if (document.activeElement !== c && !e.ctrlKey) return; e.preventDefault(); this.zoom(e.deltaY > 0 ? 1.2 : 1 / 1.2, ...where(e)); }, { passive: false });
    c.addEventListener("pointerdown", (e) => {
      c.focus({ preventScroll: true });
      c.setPointerCapture(e.pointerId);
      this.drag = { from: where(e), range: this.range, moved: false, boxed: e.shiftKey && this.select };
    });
    c.addEventListener("pointermove", (e) => {
      this.mouse = where(e);
      const [px, py] = this.mouse;
      if (!this.drag) { const k = this.nearest(px, py); this.point(k, k < 0 ? this.inside(px, py) : null); return; }
      const [ox, oy] = this.drag.from;
      if (Math.hypot(px - ox, py - oy) > 4) this.drag.moved = true;
      if (this.drag.boxed) this.drag.box = [ox, oy, px, py];
      else if (this.drag.moved) {
        const r = this.drag.range, sx = (r.x[1] - r.x[0]) / this.width * (this.x.reverse ? -1 : 1), sy = (r.y[1] - r.y[0]) / this.height;
        const dx = -(px - ox) * sx, dy = (py - oy) * sy;
        this.range = { x: r.x.map((v) => v + dx), y: r.y.map((v) => v + dy) };
      }
      this.draw();
    });
    c.addEventListener("pointerup", (e) => {
      const drag = this.drag; this.drag = null;
      if (drag?.box) { this.choose(drag.box); return; }
      if (drag?.moved || !this.pick) return;
      const [px, py] = where(e), k = this.nearest(px, py), found = this.points[k] || this.inside(px, py);
      if (found) this.pick(found);
    });
    c.addEventListener("pointerleave", () => this.point(-1));
    c.addEventListener("dblclick", () => this.reset());
    c.addEventListener("keydown", (e) => this.key(e));
  }

  choose([x1, y1, x2, y2]) {
    const between = (v, a, b) => v >= Math.min(a, b) && v <= Math.max(a, b);
    this.select(this.points.filter((p) => { const [u, v] = this.at(p.x, p.y); return between(u, x1, x2) && between(v, y1, y2); }));
    this.draw();
  }

  key(e) {
    const n = this.points.length, middle = [this.left + this.width / 2, this.top + this.height / 2];
    if (e.key === "ArrowRight" && n) this.point((this.current + 1) % n);
    else if (e.key === "ArrowLeft" && n) this.point((this.current + n - 1) % n);
    else if (e.key === "Enter" && this.points[this.current] && this.pick) this.pick(this.points[this.current]);
    else if (e.key === "+") this.zoom(1 / 1.3, ...middle);
    else if (e.key === "-") this.zoom(1.3, ...middle);
    else if (e.key === "0") this.reset();
    else return;
    e.preventDefault();
  }
};

contimg.within = (outline, x, y) => {
  let inside = false;
  for (let i = 0, j = outline.length - 1; i < outline.length; j = i++) {
    const [a, b] = outline[i], [c, d] = outline[j];
    if (b > y !== d > y && x < (c - a) * (y - b) / (d - b) + a) inside = !inside;
  }
  return inside;
};
