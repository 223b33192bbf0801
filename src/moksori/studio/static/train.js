// Training: recordings, what the data doctor says of them, and a run that goes on by itself.

import { api, byId, duration, guarded, ink, listen, make, say, settle, upload, voiceName } from "./common.js";
import { rangeBar } from "./ranges.js";

const trainings = new Map();
let chosen = null, loading = null;

function showList() {
  byId("no-trainings").hidden = trainings.size > 0;
  byId("trainings").replaceChildren(...[...trainings.values()].sort((a, b) => b.added - a.added).map((training) => {
    const percent = training.state === "running" ? ` · ${Math.floor(100 * (training.share ?? 0))} %` : "";
    const pick = make("button", { type: "button", class: "pick", "aria-current": String(training.id === chosen), onclick: guarded(() => choose(training.id)) }, make("b", { text: training.name }), make("small", { text: say(`state.${training.state}`) + percent }));
    return make("li", { "data-training": training.id, "data-state": training.state }, pick, make("button", { type: "button", class: "plain", text: "✕", title: say("remove"), "aria-label": `${say("remove")}: ${training.name}`, onclick: guarded(async () => {
      if (confirm(say("train.remove_sure", { name: training.name }))) await api(`/api/trainings/${training.id}`, { method: "DELETE" });
    }) }));
  }));
}

async function choose(id) {
  chosen = id;
  history.replaceState(null, "", `?training=${id}`);
  showList();
  await load();
}

/** All there is to know of the chosen training; one question at a time. */
async function load() {
  if (chosen === null || loading) return;
  loading = chosen;
  try {
    const training = await api(`/api/trainings/${chosen}`);
    if (training.id === chosen) show(training);
  } finally {
    loading = null;
  }
}

function show(training) {
  byId("training").hidden = false;
  byId("training-name").textContent = training.name;
  const isOpen = ["new", "checked"].includes(training.state), isRunning = training.state === "running", hasBegun = !isOpen && training.state !== "checking";
  byId("bringing").hidden = !isOpen;
  showTakes(training, isOpen);
  byId("check-row").hidden = hasBegun || training.state === "checked";
  byId("check").disabled = !training.takes.length || training.state === "checking";
  byId("checking").textContent = training.state === "checking" ? say("train.checking", { percent: Math.floor(100 * training.share) }) : "";
  showDoctor(training.doctor);
  byId("state").textContent = say(`state.${training.state}`);
  byId("not-checked").hidden = Boolean(training.doctor);
  byId("run").hidden = !training.doctor;
  byId("recipe-field").hidden = hasBegun;
  byId("start").hidden = isRunning;
  byId("start").textContent = say(hasBegun ? "train.resume" : "train.start");
  byId("pause").hidden = !isRunning;
  if (!isRunning) byId("pause").textContent = say("train.pause");
  if (byId("run").dataset.of !== training.id && training.request) { byId("minutes").value = training.request.minutes; byId("terms").value = training.request.licence; byId("judge").checked = training.request.is_judged; }
  byId("run").dataset.of = training.id;
  suit(training, hasBegun);
  byId("use").hidden = !training.has_voice;
  byId("use").href = `/?voice=${training.id}`;
  byId("report-link").hidden = !training.has_report;
  byId("report-link").href = `/voices?report=${training.id}`;
  byId("progress").hidden = !training.request || training.state === "done";
  byId("progress").querySelector("progress").value = training.share;
  byId("reached").textContent = training.step === undefined ? "" : say("train.progress", { step: training.step.toLocaleString(), time: duration(training.seconds), all: duration(60 * training.request.minutes) });
  byId("failure").hidden = !training.error;
  byId("failure").textContent = training.error ?? "";
  const isShort = training.step > 0 && training.step < training.usable_steps && !isRunning;
  byId("short").hidden = !isShort;
  if (isShort) byId("short").textContent = say("train.not_usable", { step: training.step.toLocaleString(), usable: training.usable_steps.toLocaleString(), time: duration((training.seconds / training.step) * training.usable_steps) });
  byId("watched").hidden = !training.request;
  showCurves(training);
  showScores(training.scores);
  showSamples(training);
  byId("log").textContent = training.log;
}

/** What suits so many singers, when they are known first or become others; what is chosen by hand stays. */
function suit(training, hasBegun) {
  const n = training.doctor?.singers.length ?? 0, key = `${training.id} ${n}`;
  if (byId("recipe").dataset.suits !== key && n && !hasBegun) {
    byId("recipe").dataset.suits = key;
    byId("recipe").value = n === 1 ? "adapt" : "swift";
    recipeChosen();
  }
  byId("base-field").hidden = hasBegun || !FROM_A_VOICE[byId("recipe").value];
  byId("recipe-about").hidden = hasBegun;
}

const FROM_A_VOICE = { adapt: "shipped", swift: "none" }; // what these begin from, unless somebody chooses another
const MINUTES = { adapt: 5, smoke: 1 };

function recipeChosen() {
  const recipe = byId("recipe").value;
  byId("minutes").value = MINUTES[recipe] ?? 60;
  byId("recipe-about").textContent = say(`recipe.${recipe}_about`);
  byId("base-field").hidden = !FROM_A_VOICE[recipe];
  byId("base").value = FROM_A_VOICE[recipe] ?? "none";
  showNothing();
}

/** Only who has several singers can begin from nothing. */
function showNothing() {
  const [nothing] = byId("base").options;
  if (nothing) nothing.disabled = byId("recipe").value === "adapt";
}

/** Voices to begin from: only those whose nets are the same as the recipe's can be. */
async function loadBases() {
  const before = byId("base").value, voices = (await api("/api/voices")).filter((voice) => voice.card?.takes_up_singers);
  byId("base").replaceChildren(make("option", { value: "none", text: say("train.base_none") }), ...voices.map((voice) => make("option", { value: voice.id, text: voiceName(voice) })));
  byId("base").value = before || FROM_A_VOICE[byId("recipe").value] || "none";
  showNothing();
}

function showTakes(training, isOpen) {
  byId("no-takes").hidden = training.takes.length > 0;
  const singers = Map.groupBy ? Map.groupBy(training.takes, (take) => take.singer) : training.takes.reduce((found, take) => found.set(take.singer, [...(found.get(take.singer) ?? []), take]), new Map());
  const open = new Set([...byId("take-list").querySelectorAll("details[open]")].map((each) => each.dataset.singer));
  byId("take-list").replaceChildren(...[...singers].map(([singer, takes]) => {
    const size = `${(takes.reduce((sum, take) => sum + take.n_bytes, 0) / 1e6).toFixed(1)} MB`;
    const rows = takes.map((take) => make("li", {}, make("span", { text: take.name }), isOpen ? make("button", { type: "button", class: "plain", text: "✕", "aria-label": `${say("remove")}: ${take.name}`, onclick: guarded(async () => { await api(`/api/trainings/${training.id}/takes/${take.file}`, { method: "DELETE" }); }) }) : null));
    return make("li", {}, make("details", { "data-singer": singer, open: open.has(singer) }, make("summary", {}, make("b", { text: singer }), make("small", { text: ` ${say("train.takes_of", { n: takes.length, size })}` })), make("ul", {}, ...rows)));
  }));
}

function showDoctor(doctor) {
  byId("doctor").hidden = !doctor;
  if (!doctor) { byId("advice").replaceChildren(); return; }
  const most = Math.max(...doctor.singers.map((one) => one.sung_minutes), 0.01);
  byId("doctor").tBodies[0].replaceChildren(...doctor.singers.map((one) => {
    const meter = make("meter", { min: 0, max: most, value: one.sung_minutes, "aria-hidden": "true" });
    return make("tr", {}, make("th", { scope: "row", text: one.singer }), make("td", {}, make("span", { text: one.sung_minutes.toFixed(1) }), meter), make("td", { text: one.n_files }), make("td", { text: (one.sung_minutes - one.training_minutes).toFixed(1) }),
      make("td", {}, make("span", { text: one.range_notes }), one.low_hz ? rangeBar(one.low_hz, one.high_hz) : null), make("td", { text: `${one.noise_dbfs.toFixed(0)} dBFS` }), make("td", { class: `verdict ${one.verdict}`, text: say(`doctor.${one.verdict}`) }));
  }));
  const said = doctor.said?.[document.documentElement.lang]; // of before: only English
  const advice = said ? [...said.advice, ...Object.entries(said.singers).flatMap(([singer, own]) => own.map((each) => `${singer}: ${each}`))] : [...doctor.advice, ...doctor.singers.flatMap((one) => one.advice.map((each) => `${one.singer}: ${each}`))];
  const skipped = doctor.skipped.map((skip) => make("li", { text: say("doctor.skipped", skip) }));
  byId("advice").replaceChildren(...advice.map((text) => make("li", said ? { text } : { text, lang: "en" })), ...skipped);
}

/** A curve a loss, each on a scale of its own. */
function showCurves({ curves, held_out }) {
  const all = { ...curves, ...(held_out.length ? { [say("train.held_out")]: held_out } : {}) };
  if (!Object.keys(all).length) { byId("curves").replaceChildren(make("p", { class: "soft", text: say("train.no_curve") })); return; }
  byId("curves").replaceChildren(...Object.entries(all).map(([name, points]) => make("figure", {}, curve(points, name), make("figcaption", {}, make("span", { text: name }), make("b", { text: points.at(-1)[1].toPrecision(3) })))));
}

function curve(points, name) {
  const made = (tag, attributes) => { const element = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value); return element; };
  const svg = made("svg", { viewBox: "0 0 240 90", role: "img", "aria-label": `${name}: ${points[0][1].toPrecision(3)} → ${points.at(-1)[1].toPrecision(3)}` });
  const values = points.map(([, value]) => value), low = Math.min(...values), high = Math.max(...values), first = points[0][0], last = points.at(-1)[0];
  const at = ([step, value]) => `${(4 + (232 * (step - first)) / (last - first || 1)).toFixed(1)},${(84 - (76 * (value - low)) / (high - low || 1)).toFixed(1)}`;
  svg.append(made("polyline", { points: points.map(at).join(" "), fill: "none", stroke: ink("bar"), "stroke-width": 2, "stroke-linejoin": "round" }));
  return svg;
}

function showScores(scores) {
  byId("scored").hidden = !scores.length;
  if (!scores.length) return;
  const names = Object.keys(scores[0].scores), table = byId("scores");
  table.tHead.replaceChildren(make("tr", {}, make("th", { scope: "col", text: "#" }), ...names.map((name) => make("th", { scope: "col", text: say(`score.${name}`) }))));
  table.tBodies[0].replaceChildren(...scores.slice(-8).reverse().map((one) => make("tr", {}, make("th", { scope: "row", text: `${one.step.toLocaleString()}${one.is_best ? " ★" : ""}` }), ...names.map((name) => make("td", { text: `${Math.round(100 * one.scores[name])} %` })))));
}

function showSamples({ id, samples }) {
  byId("sampled").hidden = !samples.length;
  const list = byId("samples"), names = samples.join();
  if (list.dataset.names === names + id) return; // what plays goes on
  list.dataset.names = names + id;
  list.replaceChildren(...samples.map((file) => {
    const [, step, name] = file.match(/^step-0*(\d+)\.(.*)\.flac$/) ?? ["", "", file], label = say("train.sample", { step, name });
    return make("li", {}, make("span", { class: "grow", text: label }), make("audio", { controls: true, preload: "none", src: `/api/trainings/${id}/samples/${encodeURIComponent(file)}`, "aria-label": label }));
  }));
}

// What people do

byId("new").addEventListener("submit", guarded(async (event) => {
  event.preventDefault();
  settle();
  const made = await api("/api/trainings", { method: "POST", json: { name: byId("new-name").value } });
  trainings.set(made.id, made);
  await choose(made.id);
}));

async function bring(files, singerOf) {
  settle();
  const id = chosen;
  for (const file of files) {
    await upload(`/api/trainings/${id}/takes`, file, file.name, (share) => { byId("upload").textContent = say("songs.uploading", { name: file.name, percent: Math.round(100 * share) }); }, { "X-Singer": encodeURIComponent(singerOf(file)) });
  }
}
const brought = (input, singerOf, isWanted) => guarded(async () => {
  const files = [...input.files].filter(isWanted);
  input.value = "";
  try {
    await bring(files, singerOf);
  } finally {
    byId("upload").textContent = "";
    await load();
  }
});
byId("takes").addEventListener("change", brought(byId("takes"), () => byId("singer").value, () => true));
const SOUND = /\.(wav|flac|mp3|ogg|oga|opus|m4a|aac|aiff?|caf|au|w64)$/i;
byId("folder").addEventListener("change", brought(byId("folder"), (file) => file.webkitRelativePath.split("/").at(-2), (file) => SOUND.test(file.name) && !file.name.startsWith(".")));

byId("check").addEventListener("click", guarded(async () => { settle(); await api(`/api/trainings/${chosen}/check`, { method: "POST" }); }));
byId("run").addEventListener("submit", guarded(async (event) => {
  event.preventDefault();
  settle();
  await api(`/api/trainings/${chosen}/start`, { method: "POST", json: { recipe: byId("recipe").value, base: base(), minutes: Number(byId("minutes").value), licence: byId("terms").value, is_judged: byId("judge").checked } });
}));
byId("recipe").addEventListener("change", recipeChosen);
const base = () => (byId("base-field").hidden || byId("base").value === "none" ? "" : byId("base").value);
byId("pause").addEventListener("click", guarded(async () => {
  settle();
  await api(`/api/trainings/${chosen}/pause`, { method: "POST" });
  byId("pause").textContent = say("train.pausing");
}));

const changed = guarded(async (training) => {
  if (training.state === "removed") {
    trainings.delete(training.id);
    if (chosen === training.id) { chosen = null; byId("training").hidden = true; }
  } else trainings.set(training.id, training);
  showList();
  if (training.id === chosen) await load();
});

listen((kind, record) => ({ training: changed, voice: guarded(loadBases) })[kind]?.(record), guarded(async () => {
  trainings.clear();
  for (const training of await api("/api/trainings")) trainings.set(training.id, training);
  showList();
  guarded(loadBases)(); // reading the voices may take a while
  const wanted = chosen ?? new URLSearchParams(location.search).get("training");
  if (trainings.has(wanted)) await choose(wanted);
}));
