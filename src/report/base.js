// base.js - elements, numbers and colours, for all that follows.
"use strict";

// ---- elements: text never becomes markup, whatever a run is called

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) { continue; }
    if (typeof value === "function") { node.addEventListener(key, value); } else { node.setAttribute(key, value); }
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) { node.append(child); }
  }
  return node;
}

function h(tag, attributes, ...children) { return fill(document.createElement(tag), attributes, children); }

function s(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// ---- numbers

const isNumber = (x) => typeof x === "number" && Number.isFinite(x);

// What lies between 0 and 1 by its nature is told in percent.
const isShare = (name) => /(^|_)(accuracy|coverage|share|error)($|_)/.test(name || "");

function plain(x, digits = 4) {
  if (!isNumber(x)) { return "–"; }
  const size = Math.abs(x);
  if (x === 0) { return "0"; }
  if (size >= 1e6 || size < 1e-3) { return x.toExponential(Math.min(2, digits - 1)).replace("e+", "e"); }
  if (Number.isInteger(x)) { return x.toLocaleString("en-US"); }
  return String(Number(x.toPrecision(size >= 1000 ? Math.max(digits, 5) : digits)));
}

function show(name, x) {
  if (!isNumber(x)) { return "–"; }
  if (isShare(name)) { return (100 * x).toFixed(2) + "%"; }
  if (/bytes$|^memory$/.test(name)) { return x >= 2 ** 30 ? plain(x / 2 ** 30, 3) + " GiB" : plain(x / 2 ** 20, 3) + " MiB"; }
  if (/seconds$/.test(name)) { return duration(x); }
  return plain(x);
}

// A difference has its sign, and shares differ by points.
function difference(name, x, unit = " points") {
  const text = isShare(name) ? (100 * x).toFixed(2) + unit : plain(x, 3);
  return x > 0 ? "+" + text : text.replace("-", "−");
}

function duration(x) {
  if (x < 100) { return plain(x, 3) + " s"; }
  const total = Math.round(x), hours = Math.floor(total / 3600), minutes = Math.floor(total / 60) % 60;
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(total % 60)} h` : `${minutes}:${two(total % 60)} min`;
}

const words = (name) => name.replace(/_/g, " ");
const plural = (n, word) => `${plain(n)} ${word}${n === 1 ? "" : "s"}`;

// ---- colours: eight that people with any colour vision tell apart (after Okabe and Ito), and marks besides

const COLOURS = ["blue", "orange", "green", "purple", "red", "sky", "gold", "grey"];
const DASHES = [null, "7 3", "2 3", "9 3 2 3"];
const NORM_COLOURS = { bn: "blue", ln: "orange", gn: "green", in: "purple", rms: "red", none: "grey", sn: "sky", dyt: "gold" };

// {colour, dash, mark} for each name; a norm's is the same in every report where two of its family do not meet.
function styles(names) {
  const taken = new Set(), chosen = new Map();
  for (const name of names) {
    const colour = NORM_COLOURS[String(name).split(":")[0]];
    if (colour && !taken.has(colour)) { taken.add(colour); chosen.set(name, colour); }
  }
  let next = 0;
  for (const name of names) {
    if (chosen.has(name)) { continue; }
    const free = COLOURS.find((colour) => !taken.has(colour)) || COLOURS[next++ % COLOURS.length];
    taken.add(free);
    chosen.set(name, free);
  }
  return new Map(names.map((name, i) => [name, {
    colour: `var(--${chosen.get(name)})`, dash: DASHES[Math.floor(i / 3) % DASHES.length], mark: i % 5,
  }]));
}

// Circle, square, diamond, triangle, triangle on its tip.
function mark(kind, x, y, size, attributes) {
  const r = size, paths = [
    null, `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    `M${x} ${y - 1.3 * r}L${x + 1.3 * r} ${y}L${x} ${y + 1.3 * r}L${x - 1.3 * r} ${y}z`,
    `M${x} ${y - 1.2 * r}L${x + 1.2 * r} ${y + r}H${x - 1.2 * r}z`, `M${x} ${y + 1.2 * r}L${x + 1.2 * r} ${y - r}H${x - 1.2 * r}z`,
  ];
  return paths[kind] ? s("path", { d: paths[kind], ...attributes }) : s("circle", { cx: x, cy: y, r, ...attributes });
}
