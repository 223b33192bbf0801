// The page for converting: songs, who sings them, what it would be, and what became of it.

import { announce, api, byId, complain, duration, guarded, listen, make, melodyText, parseMelody, say, settle, upload, voiceName } from "./common.js";
import { Melody } from "./melody.js";
import { Mixer } from "./mixer.js";
import { Player } from "./player.js";
import { Recorder } from "./recorder.js";

const songs = new Map(), jobs = new Map();
let voices = [], chosen = null, planning = null, saving = null;
const SHOWN_PLACES = 6;

const melody = new Melody((f0) => saveSoon(f0), (seconds) => player.seek(seconds));
const player = new Player((place) => melody.at(place));
const mixer = new Mixer(() => replan());

// Songs

const byAge = (things) => [...things.values()].sort((a, b) => b.added - a.added);

function showSongs() {
  byId("no-songs").hidden = songs.size > 0;
  byId("songs").replaceChildren(...byAge(songs).map((song) => {
    const state = song.state === "ready" ? `${duration(song.seconds)}${song.is_edited ? ` · ${say("songs.edited")}` : ""}` : song.state === "failed" ? song.error : say("songs.analysing");
    const pick = make("button", { type: "button", class: "pick", "aria-current": String(song.id === chosen), disabled: song.state !== "ready", onclick: guarded(() => choose(song.id)) }, make("b", { text: song.name }), make("small", { text: state }));
    const label = say("songs.remove", { name: song.name });
    return make("li", { "data-song": song.id }, pick, make("button", { type: "button", class: "plain", "aria-label": label, title: label, text: "✕", onclick: guarded(() => removeSong(song)) }));
  }));
}

async function removeSong(song) {
  if (song.state === "ready" && !confirm(say("songs.remove_sure", { name: song.name }))) return;
  await api(`/api/songs/${song.id}`, { method: "DELETE" });
}

async function bring(files) {
  settle();
  for (const file of files) {
    const name = file.name || say("songs.recorded");
    try {
      const song = await upload("/api/songs", file, name, (share) => { byId("upload").textContent = say("songs.uploading", { name, percent: Math.round(100 * share) }); });
      if (!songs.has(song.id)) songs.set(song.id, song); // an event may have brought it already, ready
      waitingFor = song.id;
      showSongs();
      await chooseWhenReady();
    } catch (error) {
      complain(error);
    }
  }
  byId("upload").textContent = "";
}
let waitingFor = null;

const chooseWhenReady = guarded(async () => {
  const song = songs.get(waitingFor);
  if (song?.state === "failed") { waitingFor = null; complain(song.error); }
  if (song?.state !== "ready") return;
  waitingFor = null;
  await choose(song.id);
});

async function choose(id) {
  const song = songs.get(id);
  chosen = id;
  sessionStorage.setItem("song", id);
  showSongs();
  const [outline, text, { notes }] = await Promise.all([api(`/api/songs/${id}/outline`), api(`/api/songs/${id}/melody`, { as: "text" }), api(`/api/songs/${id}/notes`)]);
  if (chosen !== id) return;
  byId("stage").hidden = false;
  byId("stage-empty").hidden = true;
  byId("stage-name").textContent = song.name;
  byId("melody-out").href = `/api/songs/${id}/melody?download`;
  byId("reset").disabled = !song.is_edited;
  player.load(0, `/api/songs/${id}/sound`, outline, { seconds: song.seconds });
  melody.show(parseMelody(text), notes, song.seconds);
  if (song.is_silent) complain(say("songs.silent"));
  await replan();
}

// Who sings, and how

const card = () => voices.find((voice) => voice.id === byId("voice").value)?.card;

function request() {
  const transpose = byId("transpose").value === "other" ? byId("semitones").value || "0" : byId("transpose").value;
  return { song: chosen ?? "", voice: byId("voice").value, shares: mixer.request, transpose, keep_breaths: byId("breaths").checked, loudness: byId("level").checked ? "normalise" : "follow" };
}

async function loadVoices() {
  voices = (await api("/api/voices")).filter((voice) => voice.card);
  const select = byId("voice"), before = select.value || new URLSearchParams(location.search).get("voice") || localStorage.getItem("voice");
  select.replaceChildren(...voices.map((voice) => make("option", { value: voice.id, text: voiceName(voice) })));
  if (voices.some((voice) => voice.id === before)) select.value = before;
  showVoice();
}

function showVoice() {
  if (!card()) return;
  localStorage.setItem("voice", byId("voice").value);
  const isConditioned = card().is_pitch_conditioned;
  byId("listens").hidden = isConditioned;
  for (const id of ["transpose", "semitones"]) byId(id).disabled = !isConditioned;
  byId("editor").hidden = !isConditioned;
  if (!isConditioned) byId("transpose").value = "auto";
  mixer.show(card());
  replan();
}

/** Ask where the song would be sung; the answer to the last question counts. */
const replan = guarded(async () => {
  const isReady = chosen !== null && Boolean(card()) && Object.keys(mixer.request).length > 0;
  for (const id of ["preview", "convert"]) byId(id).disabled = !isReady;
  if (!isReady) return;
  planning?.abort();
  planning = new AbortController();
  const plan = await api(`/api/songs/${chosen}/plan`, { method: "POST", json: request(), signal: planning.signal });
  melody.plan(plan);
  byId("planned").textContent = plan.is_pitch_conditioned ? [moved(plan.semitones), outsideText(plan.outside, plan.range)].filter(Boolean).join(" ") : "";
});

const moved = (semitones) => (semitones ? say("stage.moved", { semitones: semitones > 0 ? `+${semitones}` : `−${-semitones}` }) : say("stage.stays"));

function outsideText(outside, range) {
  if (!range) return "";
  if (!outside.length) return say("stage.inside");
  const places = outside.slice(0, SHOWN_PLACES).map(([start, stop, note]) => say("stage.place", { note, start: start.toFixed(1), stop: stop.toFixed(1) })).join(", ");
  return say("stage.outside", { places: outside.length > SHOWN_PLACES ? say("stage.more", { places, n: outside.length - SHOWN_PLACES }) : places });
}

// The melody by hand

function saveSoon(f0) {
  clearTimeout(saving);
  saving = setTimeout(guarded(() => { saving = null; return save(f0); }), 250);
}

async function save(f0) {
  const id = chosen;
  await api(`/api/songs/${id}/melody`, { method: "PUT", body: melodyText(f0), headers: { "Content-Type": "text/csv" } });
  announce(say("edit.saved"));
  byId("reset").disabled = false;
  if (id === chosen) await replan();
}

async function reloadMelody(isKept) {
  const [text, { notes }] = await Promise.all([api(`/api/songs/${chosen}/melody`, { as: "text" }), api(`/api/songs/${chosen}/notes`)]);
  if (isKept) melody.replace(parseMelody(text), notes);
  else melody.show(parseMelody(text), notes, songs.get(chosen).seconds);
  await replan();
}

byId("editor").addEventListener("toggle", () => {
  melody.isEditing = byId("editor").open;
  byId("stage").classList.toggle("editing", melody.isEditing);
});
byId("repair").addEventListener("click", guarded(async () => {
  settle();
  const { n_moved } = await api(`/api/songs/${chosen}/melody/repair`, { method: "POST" });
  byId("chosen").textContent = n_moved ? say("edit.repaired", { n: n_moved }) : say("edit.nothing");
  if (n_moved) { byId("reset").disabled = false; await reloadMelody(true); }
}));
byId("reset").addEventListener("click", guarded(async () => {
  clearTimeout(saving);
  await api(`/api/songs/${chosen}/melody`, { method: "DELETE" });
  byId("reset").disabled = true;
  await reloadMelody(true);
}));
byId("melody-in").addEventListener("change", guarded(async (event) => {
  settle();
  const [file] = event.target.files;
  if (!file) return;
  event.target.value = "";
  await api(`/api/songs/${chosen}/melody`, { method: "PUT", body: await file.arrayBuffer() });
  byId("reset").disabled = false;
  await reloadMelody(true);
}));

// Doing it

byId("preview").addEventListener("click", guarded(async () => {
  settle();
  const button = byId("preview"), asked = request();
  button.disabled = true;
  byId("planned").textContent = say("do.previewing");
  try {
    const answer = await api(`/api/songs/${chosen}/preview`, { method: "POST", json: asked });
    if (asked.song !== chosen) return;
    const stop = answer.start_seconds + answer.seconds;
    player.load(1, `/api/songs/${chosen}/preview/result?${Date.now()}`, null, { seconds: answer.seconds, offset: answer.start_seconds, label: say("player.result", { voice: Object.keys(asked.shares).join("+") }) });
    melody.sung(null);
    byId("planned").textContent = say("do.previewed", { start: answer.start_seconds.toFixed(1), stop: stop.toFixed(1) });
    player.play();
  } catch (error) {
    byId("planned").textContent = "";
    throw error;
  } finally {
    button.disabled = false;
  }
}));

byId("convert").addEventListener("click", guarded(async () => {
  settle();
  if (saving !== null) { // the last stroke counts
    clearTimeout(saving);
    saving = null;
    await save(melody.f0);
  }
  const job = await api("/api/jobs", { method: "POST", json: request() });
  listenTo = job.id;
  announce(say("do.queued", { name: job.name }));
}));
let listenTo = null;

async function hearJob(job) {
  if (chosen !== job.song) await choose(job.song);
  const [outline, text] = await Promise.all([api(`/api/jobs/${job.id}/outline`), api(`/api/jobs/${job.id}/melody`, { as: "text" })]);
  player.load(1, `/api/jobs/${job.id}/sound`, outline, { seconds: job.seconds, label: say("player.result", { voice: job.label }) });
  melody.sung(parseMelody(text));
}

// Jobs

function showJobs() {
  byId("no-jobs").hidden = jobs.size > 0;
  byId("jobs").replaceChildren(...byAge(jobs).map(jobRow));
}

function jobRow(job) {
  const percent = Math.floor(100 * (job.share ?? 0));
  const state = job.state !== "running" ? say(`jobs.${job.state}`) : job.seconds_left ? say("jobs.left", { percent, time: duration(job.seconds_left) }) : say("jobs.running", { percent });
  const error = job.error_key ? say(job.error_key) : job.error;
  const note = job.state === "failed" ? error : job.state === "done" ? [job.transpose_semitones ? moved(job.transpose_semitones) : "", job.note, job.n_clipped ? say("jobs.clipped", { n: job.n_clipped }) : ""].filter(Boolean).join(" ") : "";
  const call = (what) => guarded(async () => { settle(); await api(`/api/jobs/${job.id}/${what}`, { method: "POST" }); });
  const button = (key, action, main = false) => make("button", { type: "button", class: main ? "main" : "", text: say(key), "aria-label": `${say(key)}: ${job.name}`, onclick: action });
  const buttons = {
    waiting: () => [button("jobs.cancel", call("cancel"))],
    running: () => [button("jobs.cancel", call("cancel"))],
    done: () => [button("jobs.listen", guarded(async () => { await hearJob(job); player.play(); byId("play").focus(); })), make("a", { class: "button", href: `/api/jobs/${job.id}/download`, download: job.name, text: say("jobs.download"), "aria-label": `${say("jobs.download")}: ${job.name}` })],
    failed: () => [button("jobs.retry", call("retry"))],
    cancelled: () => [button("jobs.retry", call("retry"))],
  }[job.state]();
  if (job.state !== "running") buttons.push(make("button", { type: "button", class: "plain", text: "✕", title: say("remove"), "aria-label": `${say("remove")}: ${job.name}`, onclick: guarded(() => api(`/api/jobs/${job.id}`, { method: "DELETE" })) }));
  return make("li", { "data-job": job.id, "data-state": job.state },
    make("span", { class: "name" }, make("b", { text: job.name }), note ? make("small", { class: job.state === "failed" ? "failed" : "", text: note }) : null),
    job.state === "running" ? make("progress", { max: 1, value: job.share ?? 0, "aria-label": job.name }) : null,
    make("span", { class: "state", text: state }), ...buttons);
}

// Only the row that changed is made anew, so that a button keeps its focus while others run.
function showJob(job, before) {
  const row = byId("jobs").querySelector(`[data-job="${job.id}"]`);
  if (!row || !before || before.state !== job.state) return showJobs();
  if (job.state === "running") {
    const made = jobRow(job);
    row.querySelector(".state").replaceWith(made.querySelector(".state"));
    row.querySelector("progress").value = job.share ?? 0;
    return undefined;
  }
  return row.replaceWith(jobRow(job));
}

const jobChanged = guarded(async (job) => {
  const before = jobs.get(job.id);
  if (job.state === "removed") { jobs.delete(job.id); showJobs(); return; }
  jobs.set(job.id, job);
  showJob(job, before);
  if (before && before.state !== job.state && ["done", "failed"].includes(job.state)) announce(say(job.state === "done" ? "jobs.ended" : "jobs.broke", { name: job.name }));
  if (job.id === listenTo && job.state === "done") { listenTo = null; if (job.song === chosen) await hearJob(job); }
});

const songChanged = guarded(async (song) => {
  if (song.state === "removed") {
    songs.delete(song.id);
    if (chosen === song.id) { chosen = null; player.pause(); byId("stage").hidden = true; byId("stage-empty").hidden = false; byId("stage-name").textContent = ""; }
  } else songs.set(song.id, song);
  showSongs();
  await replan();
  if (song.id === waitingFor) await chooseWhenReady();
});

const reload = guarded(async () => {
  const [foundSongs, foundJobs] = await Promise.all([api("/api/songs"), api("/api/jobs")]);
  songs.clear(); jobs.clear();
  for (const song of foundSongs) songs.set(song.id, song);
  for (const job of foundJobs) jobs.set(job.id, job);
  showSongs(); showJobs();
  const last = sessionStorage.getItem("song");
  if (chosen === null && songs.get(last)?.state === "ready") await choose(last);
});

// What people do

byId("files").addEventListener("change", (event) => { const files = [...event.target.files]; event.target.value = ""; bring(files); });
const drop = byId("drop");
for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, (event) => { event.preventDefault(); if (kind === "drop" || !event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", (event) => bring([...event.dataTransfer.files]));

let recorder = null;
byId("record").addEventListener("click", guarded(async () => {
  settle();
  const button = byId("record");
  if (recorder) {
    const ending = recorder;
    recorder = null;
    button.setAttribute("aria-pressed", "false");
    button.textContent = say("songs.record");
    byId("upload").textContent = "";
    const recording = await ending.stop();
    if (!recording) throw new Error(say("record.empty"));
    const stamp = new Date().toLocaleString("sv").replaceAll(":", ".");
    await bring([new File([recording], `${say("songs.recorded")} ${stamp}.wav`)]);
    return;
  }
  const starting = new Recorder();
  try {
    await starting.start((seconds) => { byId("upload").textContent = say("songs.recording", { seconds: seconds.toFixed(0) }); });
  } catch {
    throw new Error(say("record.denied"));
  }
  recorder = starting;
  button.setAttribute("aria-pressed", "true");
  button.textContent = say("songs.stop");
}));

byId("voice").addEventListener("change", showVoice);
byId("transpose").addEventListener("change", () => { byId("semitones-field").hidden = byId("transpose").value !== "other"; replan(); });
byId("semitones").addEventListener("change", replan);
for (const id of ["breaths", "level"]) byId(id).addEventListener("change", replan);

listen((kind, record) => ({ job: jobChanged, song: songChanged, voice: guarded(loadVoices) })[kind]?.(record), () => { reload(); guarded(loadVoices)(); });
