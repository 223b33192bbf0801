// A pitch range as a picture.

const LOW_HZ = 65.4, OCTAVES = 4; // C2 to C6

/** A range as a bar on four octaves. */
export function rangeBar(low, high) {
  const at = (hz) => Math.min(Math.max((100 * Math.log2(hz / LOW_HZ)) / OCTAVES, 0), 100);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 8");
  svg.setAttribute("class", "range");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const rect = (x, width, kind) => { const made = document.createElementNS("http://www.w3.org/2000/svg", "rect"); for (const [key, value] of Object.entries({ x, y: 0, width, height: 8, class: kind })) made.setAttribute(key, value); svg.append(made); };
  rect(0, 100, "all");
  rect(at(low), Math.max(1, at(high) - at(low)), "own");
  return svg;
}
