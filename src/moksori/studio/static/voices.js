// The voices on disk: what their files tell, in and out.

import { announce, ask, byId, duration, guarded, make, say, settle, upload } from "./common.js";
import { rangeBar } from "./ranges.js";

const nameOf = (voice) => (voice.kind === "shipped" ? say("voice.shipped") : voice.name);

function cardOf(voice) {
  const buttons = make("p", { class: "row" });
  if (voice.kind !== "shipped") buttons.append(make("a", { class: "button", href: `/api/voices/${voice.id}/export`, download: "", text: say("voices.export"), "aria-label": `${say("voices.export")}: ${voice.name}` }));
  if (voice.has_report) buttons.append(make("button", { type: "button", text: say("voices.report"), onclick: () => openReport(voice) }));
  if (voice.kind === "imported") buttons.append(make("button", { type: "button", class: "plain", text: say("remove"), "aria-label": `${say("remove")}: ${voice.name}`, onclick: guarded(async () => {
    if (!confirm(say("voices.remove_sure", { name: voice.name }))) return;
    await ask(`/api/voices/${voice.id}`, { method: "DELETE" });
    await show();
  }) }));
  const head = [make("h2", { text: nameOf(voice) }), make("p", { class: "soft", text: say(`voices.kind_${voice.kind}`) })];
  if (!voice.card) return make("article", { class: "card", "data-voice": voice.id }, ...head, make("p", { class: "note", text: voice.error }), buttons);
  const { card } = voice;
  const singers = make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col", text: say("voices.singers") }), make("th", { scope: "col", text: say("voices.span") }), make("th", { scope: "col" }, make("small", { text: say("voices.octaves") })))), make("tbody", {}, ...card.singers.map((name) => {
    const range = card.ranges[name];
    return make("tr", {}, make("th", { scope: "row", text: name }), make("td", { text: range ? say("voice.range", { low: range.notes[0], high: range.notes[1] }) : say("voice.no_range") }), make("td", {}, range ? rangeBar(range.low_hz, range.high_hz) : null));
  })));
  const facts = {
    "voices.recipe": `${card.recipe || "–"} (${card.software})`,
    "voices.trained": say("voices.trained_for", { steps: card.steps.toLocaleString(), time: duration(card.training_seconds) }),
    "voices.rate": `${card.sample_rate.toLocaleString()} Hz`,
    "voices.parameters": card.parameters.toLocaleString(),
    "voices.figures": Object.entries(card.figures).map(([name, value]) => `${name.replaceAll("_", " ")} ${value.toFixed(3)}`).join(", ") || "–",
    "voices.terms": card.terms || say("voices.no_terms"),
    "voices.fingerprint": card.fingerprint,
  };
  const list = make("dl", { class: "facts" }, ...Object.entries(facts).flatMap(([key, value]) => [make("dt", { text: say(key) }), make("dd", { text: value })]));
  return make("article", { class: "card", "data-voice": voice.id }, ...head, make("div", { class: "scroll" }, singers), list, buttons);
}

function openReport(voice) {
  const box = byId("report");
  byId("report-heading").textContent = nameOf(voice);
  box.querySelector("iframe").src = `/api/voices/${voice.id}/report`;
  box.hidden = false;
  box.scrollIntoView();
}

async function show() {
  const voices = await ask("/api/voices");
  byId("loading").hidden = true;
  byId("voices").replaceChildren(...voices.map(cardOf));
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
guarded(show)();
