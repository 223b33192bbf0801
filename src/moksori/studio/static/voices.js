// The voices on disk: what their files tell, in and out; singers taken up, renamed, left out.

import { announce, api, byId, duration, guarded, listen, make, say, settle, upload, voiceName } from "./common.js";
import { rangeBar } from "./ranges.js";

const enrolments = new Map();

function cardOf(voice) {
  const name = voiceName(voice), buttons = make("p", { class: "row" });
  if (voice.kind !== "shipped") buttons.append(make("a", { class: "button", href: `/api/voices/${voice.id}/export`, download: "", text: say("voices.export"), "aria-label": `${say("voices.export")}: ${name}` }));
  if (voice.has_report) buttons.append(make("button", { type: "button", text: say("voices.report"), onclick: () => openReport(voice) }));
  if (["imported", "made"].includes(voice.kind)) buttons.append(make("button", { type: "button", class: "plain", text: say("remove"), "aria-label": `${say("remove")}: ${name}`, onclick: guarded(async () => {
    if (!confirm(say("voices.remove_sure", { name }))) return;
    await api(`/api/voices/${voice.id}`, { method: "DELETE" });
    await show();
  }) }));
  const changes = (voice.changes ?? []).map(({ change, what }) => say(`voices.${change}`, { what })).join("; ");
  const head = [make("h2", { text: name }), make("p", { class: "soft", text: say(`voices.kind_${voice.kind}`) }), changes ? make("p", { class: "changes", text: changes }) : null].filter(Boolean);
  if (!voice.card) return make("article", { class: "card", "data-voice": voice.id }, ...head, make("p", { class: "note", text: voice.error }), buttons);
  const { card } = voice;
  const singers = make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col", text: say("voices.singers") }), make("th", { scope: "col", text: say("voices.span") }), make("th", { scope: "col" }, make("small", { text: say("voices.octaves") })))), make("tbody", {}, ...card.singers.map((singer) => {
    const range = card.ranges[singer];
    return make("tr", {}, make("th", { scope: "row", text: singer }), make("td", { text: range ? say("voice.range", { low: range.notes[0], high: range.notes[1] }) : say("voice.no_range") }), make("td", {}, range ? rangeBar(range.low_hz, range.high_hz) : null));
  })));
  const facts = {
    "voices.recipe": `${card.recipe || "–"} (${card.software})`,
    "voices.trained": say("voices.trained_for", { steps: card.steps.toLocaleString(), time: duration(card.training_seconds) }),
    "voices.rate": `${card.sample_rate.toLocaleString()} Hz`,
    "voices.parameters": card.parameters.toLocaleString(),
    "voices.figures": Object.entries(card.figures).map(([key, value]) => `${key.replaceAll("_", " ")} ${value.toFixed(3)}`).join(", ") || "–",
    "voices.terms": card.terms || say("voices.no_terms"),
    "voices.fingerprint": card.fingerprint,
  };
  const list = make("dl", { class: "facts" }, ...Object.entries(facts).flatMap(([key, value]) => [make("dt", { text: say(key) }), make("dd", { text: value })]));
  return make("article", { class: "card", "data-voice": voice.id }, ...head, make("div", { class: "scroll" }, singers), list, changesOf(voice), buttons);
}

// Who is in a voice: each change makes a new one

function changesOf(voice) {
  const rows = voice.card.singers.map((singer) => singerRow(voice, singer));
  return make("details", { class: "change" }, make("summary", { text: say("voices.change") }), make("p", { class: "soft", text: say("voices.change_help") }),
    make("ul", { class: "list" }, ...rows), enrolForm(voice));
}

function singerRow(voice, singer) {
  const label = say("voices.new_name", { singer }), input = make("input", { type: "text", value: singer, maxlength: "40", class: "grow", "aria-label": label });
  const change = async (json) => {
    settle();
    await api(`/api/voices/${voice.id}/singers`, { method: "POST", json });
    input.value = singer; // in this voice nothing has changed
    input.closest("details").open = false;
    await show();
  };
  const form = make("form", { class: "row grow", onsubmit: guarded(async (event) => {
    event.preventDefault();
    const name = input.value.trim();
    if (name && name !== singer) await change({ renamed: { [singer]: name } });
  }) }, input, make("button", { type: "submit", text: say("voices.rename"), "aria-label": `${say("voices.rename")}: ${singer}` }));
  const isAlone = voice.card.singers.length < 2;
  return make("li", { "data-singer": singer }, form, make("button", { type: "button", class: "plain", disabled: isAlone, text: say("voices.leave_out"), "aria-label": `${say("voices.leave_out")}: ${singer}`, onclick: guarded(async () => {
    if (confirm(say("voices.leave_out_sure", { singer }))) await change({ removed: [singer] });
  }) }));
}

function enrolForm(voice) {
  const heading = make("h3", { text: say("enrol.heading") });
  if (!voice.card.takes_up_singers) return make("div", {}, heading, make("p", { class: "soft", text: say("enrol.not_here") }));
  let takes = [];
  const id = (part) => `enrol-${part}-${voice.id}`;
  const note = make("span", { class: "soft chosen", role: "status" });
  const take = (files) => { takes = files; note.textContent = files.length ? say("enrol.chosen", { n: files.length, size: `${(files.reduce((sum, file) => sum + file.size, 0) / 1e6).toFixed(1)} MB` }) : ""; };
  const input = make("input", { class: "unseen", type: "file", multiple: true, accept: "audio/*,.flac,.opus,.m4a,.aiff,.caf,.au", onchange: (event) => take([...event.target.files]) });
  const name = make("input", { id: id("name"), type: "text", maxlength: "40", required: true }), terms = make("input", { id: id("terms"), type: "text", maxlength: "400" });
  const drop = make("div", { class: "drop" }, make("p", { class: "row" }, make("span", { text: say("enrol.drop") }), make("label", { class: "button", text: say("songs.choose") }, input), note));
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
  drop.addEventListener("drop", (event) => take([...event.dataTransfer.files]));
  const start = make("button", { type: "submit", class: "main", text: say("enrol.start") });
  return make("form", { class: "enrol", onsubmit: guarded(async (event) => {
    event.preventDefault();
    settle();
    if (!takes.length) throw new Error(say("enrol.none_chosen"));
    start.disabled = true;
    try {
      await enrol({ voice: voice.id, singer: name.value, licence: terms.value }, takes, (text) => { note.textContent = text; });
      take([]);
      name.value = terms.value = "";
    } finally {
      start.disabled = false;
    }
  }) }, heading, make("p", { class: "soft", text: say("enrol.help") }),
    make("div", { class: "fields" }, make("p", { class: "field" }, make("label", { for: id("name"), text: say("enrol.singer") }), name), make("p", { class: "field" }, make("label", { for: id("terms"), text: say("enrol.terms") }), terms)),
    drop, make("p", {}, start));
}

/** Send the takes, then start; what could not be sent leaves nothing behind. */
async function enrol(request, takes, show) {
  const { id } = await api("/api/enrolments", { method: "POST", json: request });
  try {
    for (const file of takes) await upload(`/api/enrolments/${id}/takes`, file, file.name, (share) => show(say("songs.uploading", { name: file.name, percent: Math.round(100 * share) })));
    await api(`/api/enrolments/${id}/start`, { method: "POST" });
    byId("enrolments").scrollIntoView({ block: "nearest" });
  } catch (error) {
    await api(`/api/enrolments/${id}`, { method: "DELETE" });
    throw error;
  }
}

function showEnrolments() {
  byId("enrolments").replaceChildren(...[...enrolments.values()].sort((a, b) => b.added - a.added).map((one) => {
    const call = (path, method) => guarded(async () => { settle(); await api(`/api/enrolments/${one.id}${path}`, { method }); });
    const button = (key, action) => make("button", { type: "button", text: say(key), "aria-label": `${say(key)}: ${one.name}`, onclick: action });
    const text = say(`enrol.${one.state}`, { name: one.name, n: one.takes.length, percent: Math.floor(100 * one.share) });
    const error = one.error_key ? say(one.error_key) : one.error;
    const buttons = one.state === "running" ? [button("jobs.cancel", call("/cancel", "POST"))] : one.state === "new" ? [button("remove", call("", "DELETE"))] : [button("jobs.retry", call("/start", "POST")), button("remove", call("", "DELETE"))];
    return make("li", { "data-enrolment": one.id, "data-state": one.state }, make("span", { class: "grow" }, make("b", { text }), error && one.state === "failed" ? make("small", { class: "failed", text: ` ${error}` }) : null), one.state === "running" ? make("progress", { max: 1, value: one.share, "aria-label": one.name }) : null, ...buttons);
  }));
}

function openReport(voice) {
  const box = byId("report");
  byId("report-heading").textContent = voiceName(voice);
  box.querySelector("iframe").src = `/api/voices/${voice.id}/report`;
  box.hidden = false;
  box.scrollIntoView();
}

let shows = 0;

async function show() {
  const number = ++shows, voices = await api("/api/voices");
  if (number < shows) return; // asked again meanwhile, and the later answer knows more
  byId("loading").hidden = true;
  // Looked for only now: what was opened while the answer was on its way is open, too.
  const open = new Set([...document.querySelectorAll("details.change[open]")].map((each) => each.closest("article").dataset.voice));
  // A card that is open stays as it is: somebody may be typing there.
  const kept = new Map([...byId("voices").children].map((card) => [card.dataset.voice, card]));
  byId("voices").replaceChildren(...voices.map((voice) => (open.has(voice.id) && kept.has(voice.id) ? kept.get(voice.id) : cardOf(voice))));
  const wanted = new URLSearchParams(location.search).get("report"), found = voices.find((voice) => voice.id === wanted && voice.has_report);
  if (found) openReport(found);
}

byId("bring").addEventListener("change", guarded(async (event) => {
  settle();
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  try {
    await upload("/api/voices", file, file.name, (share) => { byId("upload").textContent = say("songs.uploading", { name: file.name, percent: Math.round(100 * share) }); });
    byId("upload").textContent = say("voices.imported", { name: file.name });
    announce(byId("upload").textContent);
  } catch (error) {
    byId("upload").textContent = "";
    throw error;
  }
  await show();
}));
byId("close-report").addEventListener("click", () => { byId("report").hidden = true; byId("report").querySelector("iframe").removeAttribute("src"); });

listen(guarded(async (kind, record) => {
  if (kind === "voice") { announce(say("voices.made")); await show(); }
  if (kind !== "enrolment") return;
  if (record.state === "removed") enrolments.delete(record.id);
  else enrolments.set(record.id, record);
  showEnrolments();
}), guarded(async () => {
  enrolments.clear();
  for (const one of await api("/api/enrolments")) enrolments.set(one.id, one);
  showEnrolments();
  await show();
}));
