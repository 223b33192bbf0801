// Two sounds on one time line: both run, one is heard, so that switching is instant and in place.

import WaveSurfer from "./vendor/wavesurfer-8.0.1.js";
import { byId, clock, ink, nonce, say } from "./common.js";

const DRIFT_SECONDS = 0.03; // between the two, from which the silent one is set right

export class Player {
  constructor(moved) {
    this.moved = moved; // called with the place, s
    this.sides = [0, 1].map((number) => ({ audio: new Audio(), wave: null, offset: 0, isThere: false, box: byId(number ? "wave-b" : "wave-a"), button: byId(number ? "hear-b" : "hear-a") }));
    this.active = 0;
    this.seconds = 0;
    for (const [number, side] of this.sides.entries()) {
      side.audio.preload = "auto";
      side.button.addEventListener("click", () => this.hear(number));
      side.audio.addEventListener("ended", () => { if (number === this.active) this.pause(); });
      side.audio.addEventListener("error", () => { if (side.audio.src && side.isThere) this.isBroken = true; });
    }
    byId("play").addEventListener("click", () => (this.isPlaying ? this.pause() : this.play()));
    byId("place").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    const switches = document.querySelector(".switch");
    switches.addEventListener("keydown", (event) => {
      if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key) && this.sides[1].isThere) {
        event.preventDefault();
        this.hear(1 - this.active);
        this.sides[this.active].button.focus();
      }
    });
    document.addEventListener("keydown", (event) => this._key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this._colours());
    this._show();
  }

  get isPlaying() { return !this.sides[this.active].audio.paused; }
  get place() { const side = this.sides[this.active]; return side.isThere ? side.audio.currentTime + side.offset : 0; }

  /** Put a sound on a side: 0 the song, 1 what became of it; `offset` is where on the time line it begins. */
  load(number, url, outline, { seconds, offset = 0, label = "" }) {
    const side = this.sides[number];
    const wasPlace = this.place;
    this.pause();
    side.audio.src = url;
    Object.assign(side, { isThere: true, offset, seconds });
    side.box.hidden = false;
    side.wave?.destroy();
    side.wave = outline && WaveSurfer.create({
      container: side.box, media: side.audio, peaks: [outline], duration: seconds, height: 52, cspNonce: nonce,
      cursorWidth: 2, barWidth: 2, barGap: 1, barRadius: 1, normalize: true, hideScrollbar: true, interact: true, dragToSeek: false,
    });
    side.wave?.on("interaction", (at) => this.seek(at + side.offset));
    side.box.hidden = !outline;
    if (number === 0) { this.seconds = seconds; this.drop(1); }
    else { side.button.disabled = false; side.button.textContent = label; }
    this._colours();
    this._show();
    if (number === 1) { this.hear(1); this.seek(offset > 0 ? offset : wasPlace); } else this.seek(0);
  }

  drop(number) {
    const side = this.sides[number];
    side.isThere = false;
    side.audio.pause();
    side.audio.removeAttribute("src");
    side.wave?.destroy();
    side.wave = null;
    side.box.hidden = true;
    if (number === 1) {
      side.button.disabled = true;
      side.button.textContent = say("player.result_none");
      if (this.active === 1) this.active = 0;
    }
    this._show();
  }

  hear(number) {
    const other = this.sides[number];
    if (!other.isThere || number === this.active) return this._show();
    const place = this.place, wasPlaying = this.isPlaying;
    this._put(other, place);
    this.active = number;
    if (wasPlaying) this._playBoth();
    this._show();
    return undefined;
  }

  play() {
    const active = this.sides[this.active];
    if (!active.isThere) return;
    if (this.place >= active.offset + active.seconds - 0.05) this.seek(active.offset);
    this._playBoth();
  }

  _playBoth() {
    for (const [number, side] of this.sides.entries()) {
      side.audio.muted = number !== this.active;
      if (side.isThere && this._covers(side)) side.audio.play().catch(() => {});
    }
    this._show();
    this._tick();
  }

  pause() {
    for (const side of this.sides) side.audio.pause();
    this._show();
  }

  seek(seconds) {
    for (const side of this.sides) if (side.isThere) this._put(side, seconds);
    this._show();
  }

  _put(side, seconds) {
    const at = Math.min(Math.max(seconds - side.offset, 0), Math.max(0, side.seconds - 0.01));
    if (Math.abs(side.audio.currentTime - at) > 0.005) side.audio.currentTime = at;
  }

  _covers(side) { const at = this.place - side.offset; return at >= -0.05 && at < side.seconds; }

  /** While it plays: the place is passed on, and the silent one kept beside the one that is heard. */
  _tick() {
    if (this.isTicking) return;
    this.isTicking = true;
    const next = () => {
      if (!this.isPlaying) { this.isTicking = false; this._show(); return; }
      const silent = this.sides[1 - this.active];
      if (silent.isThere && !silent.audio.seeking) {
        const away = silent.audio.currentTime + silent.offset - this.place;
        if (this._covers(silent) && silent.audio.paused) silent.audio.play().catch(() => {});
        if (Math.abs(away) > DRIFT_SECONDS) this._put(silent, this.place);
      }
      this._show();
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }

  _show() {
    for (const [number, side] of this.sides.entries()) {
      side.button.setAttribute("aria-checked", String(number === this.active));
      side.button.tabIndex = number === this.active ? 0 : -1;
      side.box.classList.toggle("active", number === this.active);
    }
    byId("play").textContent = say(this.isPlaying ? "player.pause" : "player.play");
    const place = byId("place");
    place.max = this.seconds || 1;
    if (document.activeElement !== place || this.isPlaying) place.value = this.place;
    place.setAttribute("aria-valuetext", `${clock(this.place)} / ${clock(this.seconds)}`);
    byId("clock").textContent = `${clock(this.place)} / ${clock(this.seconds)}`;
    this.moved(this.place);
  }

  _colours() {
    for (const [number, side] of this.sides.entries()) {
      side.wave?.setOptions({ waveColor: ink(number ? "good" : "bar"), progressColor: ink("ink"), cursorColor: ink("accent") });
    }
  }

  _key(event) {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, button, summary, a, [role=application], [role=slider]")) return;
    if (event.key === " " && this.sides[0].isThere) { event.preventDefault(); this.isPlaying ? this.pause() : this.play(); }
    else if (event.key.toLowerCase() === "a") this.hear(0);
    else if (event.key.toLowerCase() === "b") this.hear(1);
    else if (event.key === "ArrowLeft") this.seek(this.place - 2);
    else if (event.key === "ArrowRight") this.seek(this.place + 2);
  }
}
