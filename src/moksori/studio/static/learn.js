// Live: the law of the share in mixup, the singer between two, and what the encoder leaves of singer and pitch.

import { api, byId, guarded, listen, make, say, settle, voiceName } from "./common.js";

const LEFT = 40, BOTTOM = 26, WIDTH = 560, HEIGHT = 300, TALLEST = 4; // of the picture; densities above are cut
let drawn = [], asked = null, waiting = null;

const parameter = () => 10 ** Number(byId("parameter").value);

// ln of the gamma function (Lanczos, g = 7, n = 9), for the density of Beta(a, a).
const LANCZOS = [0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];
function logGamma(x) {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const t = x + 6.5, sum = LANCZOS.slice(1).reduce((total, c, i) => total + c / (x + i), LANCZOS[0]);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}
const density = (w, a) => Math.exp((a - 1) * (Math.log(w) + Math.log(1 - w)) - 2 * logGamma(a) + logGamma(2 * a));

function svg(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function draw(draws, a) {
  const x = (w) => LEFT + w * (WIDTH - LEFT - 10), y = (value) => HEIGHT - BOTTOM - (Math.min(value, TALLEST) / TALLEST) * (HEIGHT - BOTTOM - 8);
  const parts = [];
  for (let value = 0; value <= TALLEST; value += 1) parts.push(svg("line", { x1: LEFT, x2: WIDTH - 10, y1: y(value), y2: y(value), class: "grid" }), svg("text", { x: LEFT - 8, y: y(value) + 4, class: "end" }, String(value)));
  const { counts, n } = draws, width = 1 / counts.length;
  for (const [i, count] of counts.entries()) parts.push(svg("rect", { x: x(i * width) + 1, y: y(count / n / width), width: x(width) - x(0) - 2, height: HEIGHT - BOTTOM - y(count / n / width), class: "bar" }));
  const line = Array.from({ length: 399 }, (_, i) => (i + 1) / 400).map((w) => `${x(w).toFixed(1)},${y(density(w, a)).toFixed(1)}`);
  parts.push(svg("polyline", { points: line.join(" "), class: "law" }));
  for (const w of [0, 0.25, 0.5, 0.75, 1]) parts.push(svg("text", { x: x(w), y: HEIGHT - 6, class: "middle" }, String(w)));
  const share = Number(byId("share").value);
  parts.push(svg("line", { x1: x(share), x2: x(share), y1: 4, y2: HEIGHT - BOTTOM, class: "here" }));
  byId("law").replaceChildren(...parts);
  byId("law-caption").textContent = say("learn.law_caption", { n: n.toLocaleString(), a: a.toFixed(2), near: Math.round(100 * draws.near_an_end) });
  byId("shape").textContent = say(Math.abs(a - 1) < 0.03 ? "learn.flat" : a < 1 ? "learn.u" : "learn.bell");
}

let draws = null;
const relaw = guarded(async () => {
  const a = parameter();
  byId("parameter-value").textContent = a.toFixed(2);
  asked?.abort();
  asked = new AbortController();
  draws = await api("/api/learn/shares", { method: "POST", json: { parameter: a, n: 20000 }, signal: asked.signal });
  drawn = draws.drawn.slice();
  draw(draws, a);
});
byId("parameter").addEventListener("input", () => {
  byId("parameter-value").textContent = parameter().toFixed(2);
  clearTimeout(waiting);
  waiting = setTimeout(relaw, 60);
});

function showShare() {
  byId("share-value").textContent = Number(byId("share").value).toFixed(2);
  if (draws) draw(draws, parameter());
}
byId("share").addEventListener("input", showShare);

const hear = guarded(async () => {
  settle();
  const first = byId("first").value, second = byId("second").value, w = Number(byId("share").value);
  if (first === second) throw new Error(say("learn.same"));
  const shares = Object.fromEntries([[first, w], [second, 1 - w]].filter(([, share]) => share > 0));
  byId("hear").disabled = true;
  try {
    await api(`/api/songs/${byId("song").value}/preview`, { method: "POST", json: { song: byId("song").value, shares } });
    const sound = byId("sound");
    sound.src = `/api/songs/${byId("song").value}/preview/result?${Date.now()}`;
    sound.hidden = false;
    await sound.play().catch(() => {});
  } finally {
    byId("hear").disabled = false;
  }
});
byId("hear").addEventListener("click", hear);
byId("draw").addEventListener("click", guarded(async () => {
  if (!drawn.length) await relaw();
  byId("share").value = drawn.shift() ?? 0.5;
  showShare();
  if (!byId("hear").disabled) await hear();
}));

guarded(async () => {
  await relaw();
  const [songs, voices] = await Promise.all([api("/api/songs"), api("/api/voices")]);
  const ready = songs.filter((song) => song.state === "ready");
  byId("song").replaceChildren(...ready.map((song) => make("option", { value: song.id, text: song.name })));
  const { singers } = voices.find((voice) => voice.id === "shipped").card;
  for (const [id, place] of [["first", 1], ["second", 2]]) {
    byId(id).replaceChildren(...singers.map((name) => make("option", { value: name, text: name })));
    byId(id).selectedIndex = place;
  }
  byId("no-song").hidden = ready.length > 0;
  for (const id of ["hear", "draw", "song"]) byId(id).disabled = !ready.length;
})();

// What the encoder leaves

const percent = (share) => Math.round(100 * share);
const recordings = new Map();
let askable = [];

/** A bar from 0 to 100 %, with a line where guessing ends. */
function bar(what, row, share, chance) {
  const picture = svg("svg", { viewBox: "0 0 200 16", role: "img", class: "reading", preserveAspectRatio: "none", "aria-label": say("leaks.bar", { what, row, percent: percent(share), chance: percent(chance) }) });
  picture.append(svg("rect", { x: 0, y: 1, width: 200, height: 14, class: "all" }), svg("rect", { x: 0, y: 1, width: 200 * share, height: 14, class: "own" }), svg("line", { x1: 200 * chance, x2: 200 * chance, y1: 0, y2: 16, class: "chance" }));
  return make("td", { class: "read" }, picture, make("b", { text: `${percent(share)} %` }));
}

function figureOf(reading, voice, training) {
  const hasNotes = reading.note_chance !== null;
  const head = (key, chance) => make("th", { scope: "col" }, make("span", { text: say(key) }), chance === null ? null : make("small", { text: ` ${say("leaks.chance", { percent: percent(chance) })}` }));
  const rows = Object.entries(reading.readings).map(([name, { singer, note }]) => {
    const row = say(`leaks.${name}`);
    return make("tr", { "data-row": name }, make("th", { scope: "row", text: row }), bar(say("leaks.singer"), row, singer, reading.singer_chance), hasNotes ? bar(say("leaks.note"), row, note, reading.note_chance) : make("td", { class: "soft", text: say("leaks.no_notes") }));
  });
  const table = make("table", {}, make("thead", {}, make("tr", {}, make("td"), head("leaks.singer", reading.singer_chance), head("leaks.note", reading.note_chance))), make("tbody", {}, ...rows));
  const words = say("leaks.caption", { voice: voiceName(voice), recordings: training.name, n: reading.n_stretches, singers: reading.n_singers, notes: reading.n_notes });
  return make("figure", { class: "leaks" }, make("figcaption", { text: words }), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words }, table));
}

byId("leaks").addEventListener("submit", guarded(async (event) => {
  event.preventDefault();
  settle();
  const training = recordings.get(byId("recordings").value), voice = askable.find(({ id }) => id === byId("asked-voice").value);
  byId("read").disabled = true;
  byId("reading").textContent = say("leaks.reading", { percent: 0 });
  try {
    const reading = await api("/api/learn/leaks", { method: "POST", json: { training: training.id, voice: voice.id } });
    byId("readings").prepend(figureOf(reading, voice, training)); // others stay below, to be compared with
  } finally {
    byId("read").disabled = false;
    byId("reading").textContent = "";
  }
}));

/** What a run kept of the game: the adversary's own reading of held-out stretches. */
async function showAdversary() {
  const voice = askable.find(({ id }) => id === byId("asked-voice").value), box = byId("adversary");
  box.hidden = true;
  if (voice?.kind !== "trained") return;
  const { adversary, doctor } = await api(`/api/trainings/${voice.id}`);
  if (adversary.length < 2) return;
  const first = adversary[0], last = adversary.at(-1), chance = 1 / doctor.singers.length;
  const words = say("leaks.curve_caption", { first: first[0], last: last[0], from: percent(first[1]), to: percent(last[1]), chance: percent(chance) });
  const picture = svg("svg", { viewBox: "0 0 240 90", role: "img", "aria-label": words }), y = (share) => 86 - 82 * share;
  const points = adversary.map(([step, share]) => `${(4 + (232 * (step - first[0])) / (last[0] - first[0])).toFixed(1)},${y(share).toFixed(1)}`);
  picture.append(svg("line", { x1: 4, x2: 236, y1: y(chance), y2: y(chance), class: "chance" }), svg("polyline", { points: points.join(" "), class: "law" }));
  box.querySelector(".curves").replaceChildren(make("figure", {}, picture, make("figcaption", { text: words })));
  box.hidden = false;
}
byId("asked-voice").addEventListener("change", guarded(showAdversary));

listen((kind, record) => {
  if (kind === "leaks" && byId("read").disabled) byId("reading").textContent = say("leaks.reading", { percent: percent(record.share) });
}, guarded(async () => {
  const [trainings, voices] = await Promise.all([api("/api/trainings"), api("/api/voices")]);
  recordings.clear();
  for (const training of trainings.filter(({ doctor }) => doctor)) recordings.set(training.id, training);
  askable = voices.filter(({ card }) => card);
  const fill = (id, options) => { const before = byId(id).value; byId(id).replaceChildren(...options); if (options.some(({ value }) => value === before)) byId(id).value = before; };
  fill("recordings", [...recordings.values()].map(({ id, name }) => make("option", { value: id, text: name })));
  fill("asked-voice", askable.map((voice) => make("option", { value: voice.id, text: voiceName(voice) })));
  byId("no-recordings").hidden = recordings.size > 0;
  for (const id of ["recordings", "asked-voice", "read"]) byId(id).disabled = !recordings.size;
  await showAdversary();
}));
