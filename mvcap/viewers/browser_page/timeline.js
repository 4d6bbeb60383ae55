// The timeline: when each person is there, a curve of the take, changes of identity, and the moment shown.

export class Timeline {
  constructor(canvas, about, colours, seek) {
    this.cursor = document.getElementById("cursor"); // an element of its own: moving it draws nothing anew
    this.canvas = canvas; this.about = about; this.colours = colours; this.curve = 0; this.frame = 0;
    this.visible = () => true;
    const frameAt = (event) => {
      const { left, width } = canvas.getBoundingClientRect();
      return Math.max(0, Math.min(about.frames - 1, Math.floor((event.clientX - left) / width * about.frames)));
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); seek(frameAt(event)); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) seek(frameAt(event)); });
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }
  load(series) { this.series = series; this.redraw(); }
  theme(style) {
    const value = (name) => style.getPropertyValue(name).trim();
    Object.assign(this, { ink: value("--ink"), faint: value("--faint"), line: value("--line"), accent: value("--accent") });
    this.redraw();
  }
  x(frame) { return (frame + 0.5) / this.about.frames * this.canvas.width; }
  redraw() {
    const { canvas } = this, scale = Math.min(devicePixelRatio, 2);
    if (!canvas.clientWidth) return;
    canvas.width = canvas.clientWidth * scale; canvas.height = canvas.clientHeight * scale;
    this.scale = scale;
    const pen = canvas.getContext("2d");
    pen.font = `${11 * scale}px system-ui, sans-serif`;
    const persons = this.about.persons, strip = Math.min(8 * scale, 36 * scale / Math.max(persons.length, 1));
    persons.forEach((person, n) => {
      pen.fillStyle = this.colours.get(person.id);
      pen.globalAlpha = this.visible(person.id) ? 1 : 0.25;
      for (const [first, last] of this.spans(person)) pen.fillRect(this.x(first - 0.5), 2 + n * strip, Math.max(this.x(last) - this.x(first - 1), 1), strip - 1);
    });
    pen.globalAlpha = 1;
    this.top = 6 + persons.length * strip;
    this.drawCurve(pen, this.top + 12 * scale, canvas.height - 14 * scale);
    this.drawTicks(pen);
    for (const event of this.about.events) {
      pen.fillStyle = this.accent;
      const x = this.x(event.frame);
      pen.beginPath(); pen.moveTo(x - 4 * scale, 0); pen.lineTo(x + 4 * scale, 0); pen.lineTo(x, 7 * scale); pen.fill();
    }
    this.draw();
  }
  // Stretches in which a person has poses; known from the curves, before that from first to last.
  spans(person) {
    if (!this.series) return [[person.first, person.last]];
    const out = [];
    this.series.frame.forEach((frame, row) => {
      if (this.series.person[row] !== person.id || !this.isThere(row)) return;
      if (out.length && frame <= out[out.length - 1][1] + 1) out[out.length - 1][1] = frame; else out.push([frame, frame]);
    });
    return out;
  }
  // Whether any joint of a row is known: it has a standard deviation then.
  isThere(row) {
    const columns = this.about.series.length;
    return this.series.values.subarray(row * columns, (row + 1) * columns).some(Number.isFinite);
  }
  drawCurve(pen, top, bottom) {
    const name = this.about.series[this.curve];
    pen.fillStyle = this.faint;
    if (!this.series) { pen.fillText("curves are being loaded…", 6, top); return; }
    const { values, frame, person } = this.series, columns = this.about.series.length;
    const shown = [];
    for (let row = 0; row < frame.length; row++) {
      const value = values[row * columns + this.curve];
      if (Number.isFinite(value) && this.visible(person[row])) shown.push(value);
    }
    shown.sort((a, b) => a - b);
    const most = Math.max(shown.length ? shown[Math.floor(0.99 * (shown.length - 1))] : 1, 1e-3);
    const label = name.endsWith("_px") ? "px" : name.endsWith("_mm") ? "mm" : "°";
    pen.fillText(`${curveName(name)}, 0 to ${most < 10 ? most.toFixed(1) : most.toFixed(0)} ${label}`, 6, top - 2);
    pen.strokeStyle = this.line; pen.strokeRect(0, top, this.canvas.width, bottom - top);
    const last = new Map();
    pen.lineWidth = this.scale;
    for (let row = 0; row < frame.length; row++) {
      const who = person[row], value = values[row * columns + this.curve];
      if (!Number.isFinite(value) || !this.visible(who)) continue;
      const point = [frame[row], this.x(frame[row]), bottom - Math.min(value / most, 1) * (bottom - top)];
      const before = last.get(who);
      pen.strokeStyle = this.colours.get(who);
      pen.beginPath();
      if (before && point[0] - before[0] <= 2) pen.moveTo(before[1], before[2]); else pen.moveTo(point[1] - 1, point[2]);
      pen.lineTo(point[1], point[2]); pen.stroke();
      last.set(who, point);
    }
  }
  drawTicks(pen) {
    const seconds = this.about.frames / this.about.rate_hz;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800].find((one) => seconds / one <= 12) ?? 3600;
    pen.fillStyle = this.faint;
    for (let t = 0; t < seconds; t += step) {
      const x = t / seconds * this.canvas.width;
      pen.fillRect(x, this.canvas.height - 14 * this.scale, 1, 4 * this.scale);
      pen.fillText(`${+t.toFixed(1)} s`, x + 3, this.canvas.height - 3 * this.scale);
    }
  }
  draw(frame = this.frame) {
    this.frame = frame;
    if (this.scale) this.cursor.style.transform = `translateX(${this.x(frame) / this.scale - 1}px)`;
  }
}

export function curveName(name) {
  const known = { error_px: "reprojection error", sigma_mm: "standard deviation of joints" };
  return known[name] ?? `${name.replaceAll("_", " ")}, flexion`;
}
