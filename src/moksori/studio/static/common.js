// What all pages share: words, requests, errors where they happened, and server-sent events.

const words = JSON.parse(document.getElementById("words").textContent);
export const nonce = document.querySelector("meta[name=nonce]").content;
export const byId = (id) => document.getElementById(id);

/** A text in the page's language, its {places} filled in. */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

/** An element with properties and children; text is text, never markup. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else if (name === "text") element.textContent = value;
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** What a voice is called: the file or training that it came from, and what was changed since. */
export function voiceName(voice) {
  const said = { enrolled: (what) => ` + ${what}`, renamed: (what) => `, ${what}`, left_out: (what) => ` − ${what}` };
  return (voice.name || say("voice.shipped")) + (voice.changes ?? []).map(({ change, what }) => said[change](what)).join("");
}

/** Something for those who do not see the page. */
export function announce(text) {
  const live = byId("live");
  live.textContent = "";
  setTimeout(() => { live.textContent = text; }, 30);
}

const trouble = byId("trouble");
trouble.querySelector("button").addEventListener("click", () => { trouble.hidden = true; });

/** An error, in words, on the page where it happened. */
export function complain(error) {
  if (error?.name === "AbortError") return;
  trouble.querySelector("p").textContent = error?.message ?? String(error);
  trouble.hidden = false;
  trouble.scrollIntoView({ block: "nearest" });
}
export const settle = () => { trouble.hidden = true; };

/** Run what a person asked for; an error is shown. */
export const guarded = (action) => async (...given) => {
  try {
    return await action(...given);
  } catch (error) {
    complain(error);
    return undefined;
  }
};

/** Call the JSON API; an answer that is no success becomes an Error in the page's language. */
export async function api(path, { method = "GET", json, body, headers = {}, signal, as = "json" } = {}) {
  const options = { method, headers: { ...headers }, body, signal };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(say("error.unreachable"));
  }
  if (!answer.ok) throw new Error(await reason(await answer.text()));
  return as === "text" ? answer.text() : answer.json();
}

function reason(text) {
  try {
    const { key, values, error } = JSON.parse(text);
    return key ? say(key, values) : error;
  } catch {
    return text || say("error.unreachable");
  }
}

/** Send a file as it is, reporting the share that is sent; XMLHttpRequest, because fetch has no upload progress. */
export function upload(path, file, name, onShare = () => {}, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [key, value] of Object.entries({ "X-Name": encodeURIComponent(name), ...headers })) request.setRequestHeader(key, value);
    request.upload.addEventListener("progress", (event) => onShare(event.lengthComputable ? event.loaded / event.total : 0));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(new Error(reason(request.responseText)));
    });
    request.addEventListener("error", () => reject(new Error(say("error.unreachable"))));
    request.send(file);
  });
}

/** Subscribe to server-sent events: `changed(kind, record)`; `again()` when it may have missed something. */
export function listen(changed, again) {
  const source = new EventSource("/events");
  let isLost = false;
  source.addEventListener("hello", () => {
    if (isLost) announce(say("live.back"));
    isLost = false;
    byId("lost").hidden = true;
    again();
  });
  source.addEventListener("message", (event) => {
    const { kind, record } = JSON.parse(event.data);
    changed(kind, record);
  });
  source.addEventListener("error", () => {
    isLost = true;
    byId("lost").hidden = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { listen(changed, again); }, 2000);
  });
}

export function duration(seconds) {
  if (seconds < 60) return say("time.seconds", { n: Math.max(1, Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return say("time.minutes", { n: minutes });
  return say("time.hours", { h: Math.floor(minutes / 60), m: minutes % 60 });
}

export function clock(seconds) {
  const whole = Math.floor(seconds + 1e-6);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

const NOTES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
export function noteName(hz) {
  const midi = Math.round(69 + 12 * Math.log2(hz / 440));
  return `${NOTES[((midi % 12) + 12) % 12]}${Math.floor(midi / 12) - 1}`;
}

/** The colours of the page, for canvases; light or dark as the page is. */
export function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A melody from the text of its file: frames of 16 ms, Hz, 0 where unvoiced. */
export function parseMelody(text) {
  const lines = text.trim().split("\n").slice(1);
  return Float64Array.from(lines, (line) => { const [, hz, voiced] = line.split(","); return voiced.trim() === "1" ? Number(hz) : 0; });
}
export const HOP_SECONDS = 0.016;
export function melodyText(f0) {
  const lines = Array.from(f0, (hz, i) => `${(i * HOP_SECONDS).toFixed(3)},${hz.toFixed(3)},${hz > 0 ? 1 : 0}`);
  return `time_seconds,f0_hz,is_voiced\n${lines.join("\n")}\n`;
}
