// The melody of a song against a singer's range, to look at and to edit; pitches are shown as they will be sung.

import { HOP_SECONDS, announce, byId, ink, noteName, say } from "./common.js";

const LEFT = 44, BOTTOM = 20, TOP = 8; // px around the curve
const MOST_UNDO = 100;
const midiOf = (hz) => 69 + 12 * Math.log2(hz / 440);

export class Melody {
  /** `changed(f0)` is called with a melody that was edited; `seek(s)` where somebody clicked. */
  constructor(changed, seek) {
    this.canvas = byId("melody");
    Object.assign(this, { changed, seek, f0: new Float64Array(), result: null, resultOffset: 0, notes: [], semitones: 0, range: null, outside: [], seconds: 1, view: [0, 1], place: 0, chosen: null, undone: [], done: [], isEditing: false });
    this.canvas.addEventListener("pointerdown", (event) => this._down(event));
    this.canvas.addEventListener("pointermove", (event) => this._move(event));
    this.canvas.addEventListener("pointerup", (event) => this._up(event));
    this.canvas.addEventListener("pointercancel", () => { this.drag = null; this.draw(); });
    this.canvas.addEventListener("keydown", (event) => this._key(event));
    byId("closer").addEventListener("click", () => this.zoom(0.5));
    byId("further").addEventListener("click", () => this.zoom(2));
    byId("pan").addEventListener("input", (event) => this._pan(Number(event.target.value)));
    byId("undo").addEventListener("click", () => this.undo());
    byId("redo").addEventListener("click", () => this.redo());
    byId("octave-up").addEventListener("click", () => this.shift(12));
    byId("octave-down").addEventListener("click", () => this.shift(-12));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(f0, notes, seconds) {
    Object.assign(this, { f0, notes, seconds, view: [0, seconds], chosen: null, undone: [], done: [], result: null });
    this._buttons();
    this._say("");
    this.draw();
  }

  /** The curve after somebody else changed it; what was done before can be undone. */
  replace(f0, notes) {
    this.done.push(this.f0);
    Object.assign(this, { f0, notes, chosen: null, undone: [] });
    this._buttons();
    this.draw();
  }

  plan({ semitones, range, outside }) { Object.assign(this, { semitones, range, outside }); this.draw(); }
  sung(f0, offset = 0) { Object.assign(this, { result: f0, resultOffset: offset }); this.draw(); }
  at(place) {
    this.place = place;
    if (this.isZoomed && (place > this.view[1] || place < this.view[0])) this._pan(place - 0.05 * (this.view[1] - this.view[0]));
    if (!this.isWaiting) { this.isWaiting = true; requestAnimationFrame(() => { this.isWaiting = false; this.draw(); }); }
  }

  get isZoomed() { return this.view[1] - this.view[0] < this.seconds - 1e-6; }

  zoom(factor) {
    const span = Math.min(this.seconds, Math.max(1, (this.view[1] - this.view[0]) * factor));
    const isSeen = this.place >= this.view[0] && this.place <= this.view[1];
    const middle = this.chosen ? ((this.chosen[0] + this.chosen[1]) / 2) * HOP_SECONDS : isSeen && this.place > 0 ? this.place : (this.view[0] + this.view[1]) / 2;
    this.view = [0, span];
    this._pan(middle - span / 2);
  }

  _pan(from) {
    const span = this.view[1] - this.view[0], furthest = Math.max(0, this.seconds - span);
    const start = Math.min(Math.max(from, 0), furthest);
    this.view = [start, start + span];
    const pan = byId("pan");
    pan.max = furthest || 1;
    pan.value = start;
    pan.disabled = !this.isZoomed;
    this.draw();
  }

  // From the curve to the screen, and back

  _bounds() {
    const first = Math.max(0, Math.floor(this.view[0] / HOP_SECONDS)), last = Math.min(this.f0.length, Math.ceil(this.view[1] / HOP_SECONDS));
    let low = Infinity, high = -Infinity;
    const see = (midi) => { low = Math.min(low, midi); high = Math.max(high, midi); };
    const step = Math.max(1, Math.floor((last - first) / 4000));
    for (let i = first; i < last; i += step) if (this.f0[i] > 0) see(midiOf(this.f0[i]) + this.semitones);
    if (this.result) {
      const from = Math.max(0, Math.floor((this.view[0] - this.resultOffset) / HOP_SECONDS)), to = Math.min(this.result.length, Math.ceil((this.view[1] - this.resultOffset) / HOP_SECONDS));
      for (let i = from; i < to; i += step) if (this.result[i] > 0) see(midiOf(this.result[i]));
    }
    if (this.range) { see(midiOf(this.range.low_hz)); see(midiOf(this.range.high_hz)); }
    if (!Number.isFinite(low)) return [48, 72];
    return [Math.min(low - 2, (low + high) / 2 - 7), Math.max(high + 2, (low + high) / 2 + 7)];
  }

  _scale() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [low, high] = this.drag?.bounds ?? this._bounds(), [from, to] = this.view;
    return {
      width, height, low, high,
      x: (seconds) => LEFT + ((seconds - from) / (to - from)) * (width - LEFT),
      y: (midi) => TOP + ((high - midi) / (high - low)) * (height - TOP - BOTTOM),
      seconds: (x) => from + ((x - LEFT) / (width - LEFT)) * (to - from),
      midi: (y) => high - ((y - TOP) / (height - TOP - BOTTOM)) * (high - low),
    };
  }

  draw() {
    const { canvas } = this, ratio = devicePixelRatio || 1, scale = this._scale();
    if (!scale.width) return;
    canvas.width = Math.round(scale.width * ratio);
    canvas.height = Math.round(scale.height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    this._grid(pen, scale);
    if (this.range) {
      pen.fillStyle = ink("band");
      const top = scale.y(midiOf(this.range.high_hz)), bottom = scale.y(midiOf(this.range.low_hz));
      pen.fillRect(LEFT, top, scale.width - LEFT, bottom - top);
    }
    if (this.chosen) {
      pen.fillStyle = ink("band");
      const [left, right] = this.chosen.map((frame) => scale.x(frame * HOP_SECONDS));
      pen.fillRect(left, TOP, Math.max(3, right - left), scale.height - TOP - BOTTOM);
      pen.strokeStyle = ink("accent");
      pen.strokeRect(left + 0.5, TOP + 0.5, Math.max(3, right - left) - 1, scale.height - TOP - BOTTOM - 1);
    }
    const isOut = (seconds) => this.outside.some(([start, stop]) => seconds >= start - 1e-6 && seconds < stop);
    this._curve(pen, scale, this.f0, this.semitones, 0, ink("bar"), 2.5);
    if (this.outside.length) this._curve(pen, scale, this.f0, this.semitones, 0, ink("accent"), 4, isOut);
    if (this.result) this._curve(pen, scale, this.result, 0, this.resultOffset, ink("good"), 1.6);
    const x = scale.x(this.place);
    if (x >= LEFT) { pen.fillStyle = ink("accent"); pen.fillRect(x - 0.75, 0, 1.5, scale.height - BOTTOM); }
  }

  _grid(pen, scale) {
    pen.fillStyle = ink("soft");
    pen.strokeStyle = ink("line");
    pen.lineWidth = 1;
    const step = scale.high - scale.low > 26 ? 12 : 1;
    let last = Infinity; // where the last name stands: none is written over another
    for (let midi = Math.ceil(scale.low); midi <= scale.high; midi += 1) {
      const isNamed = step === 12 ? midi % 12 === 0 : [0, 2, 4, 5, 7, 9, 11].includes(midi % 12);
      if (!isNamed) continue;
      const y = scale.y(midi);
      pen.beginPath(); pen.moveTo(LEFT, y); pen.lineTo(scale.width, y); pen.stroke();
      const tall = (scale.height - TOP - BOTTOM) / (scale.high - scale.low), fromC = Math.min(midi % 12, 12 - (midi % 12)) * tall;
      if (midi % 12 === 0 || (fromC >= 13 && last - y >= 13)) {
        pen.fillText(noteName(440 * 2 ** ((midi - 69) / 12)), 6, y + 4);
        last = y;
      }
    }
    const span = this.view[1] - this.view[0];
    const tick = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800].find((each) => (each / span) * (scale.width - LEFT) > 60) ?? 3600;
    for (let at = Math.ceil(this.view[0] / tick) * tick; at < this.view[1]; at += tick) {
      const label = tick < 1 ? at.toFixed(1) : `${Math.floor(at / 60)}:${String(Math.round(at % 60)).padStart(2, "0")}`;
      pen.fillText(label, scale.x(at) - (at > 0 ? 10 : 0), scale.height - 5);
    }
  }

  _curve(pen, scale, f0, semitones, offset, colour, width, isShown = () => true) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.lineJoin = "round";
    pen.beginPath();
    const first = Math.max(0, Math.floor((this.view[0] - offset) / HOP_SECONDS)), last = Math.min(f0.length, Math.ceil((this.view[1] - offset) / HOP_SECONDS) + 1);
    let before = 0;
    for (let i = first; i < last; i += 1) {
      const seconds = i * HOP_SECONDS + offset;
      if (f0[i] <= 0 || !isShown(seconds)) { before = 0; continue; }
      const x = scale.x(seconds), y = scale.y(midiOf(f0[i]) + semitones);
      // A leap of a fifth from one frame to the next is no line that anybody sang.
      if (before > 0 && Math.abs(Math.log2(f0[i] / before)) < 0.55) pen.lineTo(x, y);
      else { pen.moveTo(x, y); pen.lineTo(x + 0.5, y); }
      before = f0[i];
    }
    pen.stroke();
  }

  // Editing

  _point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  _down(event) {
    if (!this.f0.length) return;
    const [x, y] = this._point(event), scale = this._scale(), seconds = scale.seconds(x), frame = Math.round(seconds / HOP_SECONDS);
    if (!this.isEditing) { this.seek(Math.max(0, seconds)); return; }
    event.preventDefault();
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    const bounds = [scale.low, scale.high];
    const isInside = this.chosen && frame >= this.chosen[0] && frame < this.chosen[1];
    const note = this.notes.find(([start, stop]) => frame >= start && frame < stop);
    const isOnCurve = note && Math.abs(scale.y(midiOf(this.f0[frame]) + this.semitones) - y) < 22;
    if (!isInside && isOnCurve) this.chosen = [...note];
    this.drag = isInside || isOnCurve ? { kind: "shift", y, bounds, before: this.f0 } : { kind: "stretch", frame, bounds };
    if (this.drag.kind === "stretch") this.chosen = null;
    this._describe();
    this.draw();
  }

  _move(event) {
    if (!this.drag) return;
    const [x, y] = this._point(event), scale = this._scale();
    if (this.drag.kind === "stretch") {
      const frame = Math.min(Math.max(Math.round(scale.seconds(x) / HOP_SECONDS), 0), this.f0.length);
      const chosen = [Math.min(frame, this.drag.frame), Math.max(frame, this.drag.frame)];
      this.chosen = chosen[1] - chosen[0] > 2 ? chosen : null;
    } else {
      const semitones = scale.midi(y) - scale.midi(this.drag.y);
      this.f0 = this._shifted(this.drag.before, event.shiftKey ? Math.round(semitones * 10) / 10 : Math.round(semitones));
    }
    this._describe();
    this.draw();
  }

  _up(event) {
    if (!this.drag) return;
    const { kind, before } = this.drag, [x] = this._point(event);
    this.drag = null;
    if (kind === "shift" && before !== this.f0 && before.some((hz, i) => hz !== this.f0[i])) this._did(before);
    if (kind === "stretch" && !this.chosen) this.seek(Math.max(0, this._scale().seconds(x)));
    this._describe();
    this.draw();
  }

  /** The chosen frames moved; never beyond the pitches that condition a voice. */
  _shifted(f0, semitones) {
    const moved = f0.slice();
    for (let i = this.chosen[0]; i < this.chosen[1]; i += 1) moved[i] = f0[i] > 0 ? Math.min(Math.max(f0[i] * 2 ** (semitones / 12), 46.875), 2093.75) : 0;
    return moved;
  }

  shift(semitones) {
    if (!this.chosen) return;
    const before = this.f0;
    this.f0 = this._shifted(before, semitones);
    this._did(before);
    this._describe();
    this.draw();
  }

  _did(before) {
    this.done.push(before);
    if (this.done.length > MOST_UNDO) this.done.shift();
    this.undone = [];
    this._buttons();
    this.changed(this.f0);
  }

  undo() { this._swap(this.done, this.undone); }
  redo() { this._swap(this.undone, this.done); }
  _swap(from, to) {
    if (!from.length) return;
    to.push(this.f0);
    this.f0 = from.pop();
    this._buttons();
    this._describe();
    this.draw();
    this.changed(this.f0);
  }

  _buttons() {
    byId("undo").disabled = !this.done.length;
    byId("redo").disabled = !this.undone.length;
    for (const id of ["octave-up", "octave-down"]) byId(id).disabled = !this.chosen;
  }

  _describe() {
    this._buttons();
    if (!this.chosen) return this._say("");
    const voiced = this.f0.slice(...this.chosen).filter((hz) => hz > 0).sort();
    const middle = voiced.length ? noteName(voiced[Math.floor(voiced.length / 2)] * 2 ** (this.semitones / 12)) : "–";
    const [start, stop] = this.chosen.map((frame) => (frame * HOP_SECONDS).toFixed(2));
    return this._say(say("edit.chosen", { note: middle, start, stop }));
  }
  _say(text) { if (byId("chosen").textContent !== text) byId("chosen").textContent = text; }

  _key(event) {
    if (event.ctrlKey || event.metaKey) {
      if (event.key.toLowerCase() === "z") { event.preventDefault(); event.shiftKey ? this.redo() : this.undo(); }
      if (event.key.toLowerCase() === "y") { event.preventDefault(); this.redo(); }
      return;
    }
    const step = { ArrowUp: event.shiftKey ? 0.1 : 1, ArrowDown: event.shiftKey ? -0.1 : -1, PageUp: 12, PageDown: -12 }[event.key];
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") { event.preventDefault(); this._next(event.key === "ArrowRight" ? 1 : -1); }
    else if (step && this.isEditing && this.chosen) { event.preventDefault(); this.shift(step); }
    else if (event.key === "Escape") { this.chosen = null; this._describe(); this.draw(); }
  }

  _next(step) {
    if (!this.notes.length) return;
    const here = this.chosen ? this.notes.findIndex(([start]) => start >= this.chosen[0]) : step > 0 ? -1 : this.notes.length;
    const next = Math.min(Math.max(here + step, 0), this.notes.length - 1);
    this.chosen = [...this.notes[next]];
    const start = this.chosen[0] * HOP_SECONDS, stop = this.chosen[1] * HOP_SECONDS;
    if (start < this.view[0] || stop > this.view[1]) this._pan(start - 0.2 * (this.view[1] - this.view[0]));
    this._describe();
    this.draw();
  }
}
