// Who sings: one singer, or shares of several, by sliders or by a point between three.

import { byId, make, say } from "./common.js";

const CORNERS = [[110, 22], [22, 172], [198, 172]]; // of the pad, in its own units
const STEP = 0.05;

export class Mixer {
  constructor(changed) {
    this.changed = changed;
    this.singers = [];
    this.one = null;
    this.shares = {};
    byId("mix").addEventListener("change", () => this._toggle());
    const pad = byId("pad");
    pad.addEventListener("pointerdown", (event) => { pad.setPointerCapture(event.pointerId); this._drag(event); });
    pad.addEventListener("pointermove", (event) => { if (pad.hasPointerCapture(event.pointerId)) this._drag(event); });
    pad.addEventListener("keydown", (event) => this._key(event));
  }

  get isMixing() { return byId("mix").checked; }

  /** Singer -> share, as the API takes them. */
  get request() {
    if (!this.isMixing) return this.one ? { [this.one]: 1 } : {};
    return Object.fromEntries(Object.entries(this.shares).filter(([, share]) => share > 0));
  }

  /** Show the singers of a voice; who was chosen stays, if they are among them. */
  show(card) {
    this.singers = card.singers;
    if (!card.singers.includes(this.one)) [this.one] = card.singers;
    this.shares = Object.fromEntries(card.singers.map((name) => [name, this.shares[name] ?? 0]));
    const chips = card.singers.map((name) => {
      const range = card.ranges[name];
      const note = range ? say("voice.range", { low: range.notes[0], high: range.notes[1] }) : say("voice.no_range");
      const input = make("input", { type: "radio", name: "singer", value: name, checked: name === this.one, onchange: () => { this.one = name; this.changed(); } });
      return make("label", {}, input, make("span", { text: name }), make("small", { text: note }));
    });
    document.querySelector("#singers .chips").replaceChildren(...chips);
    byId("sliders").replaceChildren(...card.singers.map((name, number) => {
      const id = `share-${number}`;
      const slider = make("input", { id, type: "range", min: "0", max: "100", step: "1", "aria-label": say("voice.share", { singer: name }) });
      slider.addEventListener("input", () => { this.shares[name] = Number(slider.value); this._sync(); this.changed(); });
      return make("div", { class: "slider" }, make("label", { for: id, text: name }), slider, make("output", { for: id }));
    }));
    this._sync();
  }

  _toggle() {
    if (this.isMixing && !Object.values(this.shares).some((share) => share > 0)) this.shares[this.one] = 100;
    byId("mixer").hidden = !this.isMixing;
    byId("singers").hidden = this.isMixing;
    this._sync();
    this.changed();
  }

  get _three() { const some = Object.entries(this.shares).filter(([, share]) => share > 0).map(([name]) => name); return this.kept?.every((name) => this.singers.includes(name)) && some.every((name) => this.kept.includes(name)) ? this.kept : some.length === 3 ? some : null; }

  _sync() {
    const total = Object.values(this.shares).reduce((sum, share) => sum + share, 0) || 1;
    for (const [number, row] of [...byId("sliders").children].entries()) {
      const share = this.shares[this.singers[number]] ?? 0;
      row.querySelector("input").value = share;
      row.querySelector("output").textContent = `${Math.round((100 * share) / total)} %`;
    }
    this.kept = this._three;
    byId("pad").toggleAttribute("hidden", !this.kept);
    byId("pad-help").hidden = Boolean(this.kept);
    if (this.kept) this._draw(this.kept, total);
  }

  _draw(three, total) {
    const weights = three.map((name) => this.shares[name] / total);
    const [x, y] = [0, 1].map((axis) => weights.reduce((sum, weight, i) => sum + weight * CORNERS[i][axis], 0));
    const svg = (tag, attributes, text = "") => { const made = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value); made.textContent = text; return made; };
    const names = three.map((name, i) => svg("text", { x: Math.min(Math.max(CORNERS[i][0], 40), 180), y: CORNERS[i][1] + (i ? 20 : -9) }, name.slice(0, 14)));
    byId("pad").replaceChildren(svg("polygon", { points: CORNERS.map((corner) => corner.join(",")).join(" ") }), ...names, svg("circle", { cx: x, cy: y, r: 9 }));
    byId("pad").setAttribute("aria-valuenow", Math.round(100 * weights[0]));
    byId("pad").setAttribute("aria-valuetext", three.map((name, i) => `${name} ${Math.round(100 * weights[i])} %`).join(", "));
  }

  /** The point nearest to a place within the triangle, as shares. */
  _go(x, y) {
    const [[ax, ay], [bx, by], [cx, cy]] = CORNERS, whole = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
    const a = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / whole, b = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / whole;
    const weights = [a, b, 1 - a - b].map((weight) => Math.max(weight, 0)), total = weights.reduce((sum, weight) => sum + weight, 0);
    for (const [i, name] of this.kept.entries()) this.shares[name] = Math.round((100 * weights[i]) / total);
    this._sync();
    this.changed();
  }

  _drag(event) {
    const box = byId("pad").getBoundingClientRect();
    this._go(((event.clientX - box.left) / box.width) * 220, ((event.clientY - box.top) / box.height) * 200);
  }

  _key(event) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const point = byId("pad").querySelector("circle");
    this._go(Number(point.getAttribute("cx")) + dx * 200 * STEP, Number(point.getAttribute("cy")) + dy * 200 * STEP);
  }
}
