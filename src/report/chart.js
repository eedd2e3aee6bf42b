// chart.js - what charts have in common: scales, axes, a frame with buttons, a legend, the values under the pointer.

// ---- scales

// From values to pixels. Where log is wanted but no value is positive, the scale stays linear.
function makeScale(values, from, to, wanted, zero) {
  const log = wanted && values.some((v) => isNumber(v) && v > 0);
  let low = Infinity, high = -Infinity;
  for (const v of values) {
    if (isNumber(v) && (!log || v > 0)) { low = Math.min(low, v); high = Math.max(high, v); }
  }
  if (low > high) { low = 0; high = 1; }
  if (zero && !log && low > 0 && low < 0.4 * high) { low = 0; }
  if (low === high) {
    const room = log ? 0 : Math.abs(low) * 0.05;
    low = log ? low / 2 : low - room;
    high = log ? high * 2 : high + (room || 1); // of zeros alone: 0 to 1
  }
  const f = log ? Math.log10 : (v) => v, a = f(low), b = f(high);
  return {
    low, high, log, from, to,
    at: (v) => from + (to - from) * (f(v) - a) / (b - a),
    shows: (v) => isNumber(v) && (!log || v > 0),
    back: (p) => { const u = a + (b - a) * (p - from) / (to - from); return log ? 10 ** u : u; },
  };
}

function linearTicks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const steps = [0.5, 1, 2, 5, 10].map((m) => m * power), at = steps.findIndex((m) => m >= rough * 0.999);
  const spaced = (step) => {
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) { ticks.push(i * step); }
    return ticks;
  };
  const ticks = spaced(steps[at]);
  return ticks.length > 1 ? ticks : spaced(steps[at - 1]); // one tick alone says nothing
}

function ticksOf(scale, count) {
  if (!scale.log) { return linearTicks(scale.low, scale.high, count); }
  const first = Math.floor(Math.log10(scale.low)), last = Math.ceil(Math.log10(scale.high)), ticks = [];
  const every = Math.max(1, Math.ceil((last - first) / count)), inner = last - first <= 2 ? [1, 2, 5] : [1];
  for (let k = first; k <= last; k += every) { inner.forEach((m) => ticks.push(m * 10 ** k)); }
  const inside = ticks.filter((t) => t >= scale.low * 0.999 && t <= scale.high * 1.001);
  return inside.length > 1 ? inside : linearTicks(scale.low, scale.high, count).filter((t) => t > 0);
}

// All ticks of an axis with as many digits as tell them apart.
function tickTexts(ticks, name) {
  const share = isShare(name), factor = share ? 100 : 1, size = Math.max(...ticks.map(Math.abs), 0) * factor;
  const gap = Math.min(...ticks.slice(1).map((t, i) => Math.abs(t - ticks[i]))) * factor;
  const digits = Number.isFinite(gap) && gap > 0 ? Math.max(0, -Math.floor(Math.log10(gap) + 1e-9)) : 4;
  return ticks.map((t) => {
    const v = t * factor;
    if (v === 0) { return share ? "0%" : "0"; }
    if (size >= 1e6 || size < 1e-3 || digits > 6) { return v.toExponential(1).replace("e+", "e").replace(".0e", "e"); }
    if (size >= 1e4) { return (share ? plain(v) + "%" : plain(v / 1000) + "k"); }
    const own = Math.abs(v) >= 1 || !digits ? digits : Math.max(digits, -Math.floor(Math.log10(Math.abs(v)) + 1e-9));
    const text = ticks.length === 1 ? plain(v) : v.toFixed(Math.min(digits, own, 6));
    return text.replace("-", "−") + (share ? "%" : "");
  });
}

// ---- the frame

// A figure with a title, buttons, and an SVG that is drawn anew when its width changes. draw(svg, width) returns how many marks
// it has made; the figure says so in data-drawn, which the tests read.
const fits = new Set(); // draws anew each chart whose width has changed
const fitAll = () => fits.forEach((fit) => fit());
const waiting = []; // charts that are drawn once the page has them: before, they have no width

function drawWaiting() {
  while (waiting.length) { waiting.shift()(); }
}

function frame({ title, note, label, tools, draw, below }) {
  const svg = s("svg", { role: "img", "aria-label": label || title, tabindex: 0 });
  const holder = h("div", {}, svg);
  const root = h("figure", { "data-chart": title },
    h("figcaption", {}, h("h3", {}, title), h("div", { class: "tools" }, tools || [])),
    note ? h("p", { class: "note" }, note) : null, holder, below || null);
  const redraw = () => {
    const width = Math.round(holder.clientWidth);
    if (width < 40) { return; }
    svg.replaceChildren();
    root.dataset.drawn = draw(svg, width);
  };
  let seen = 0;
  const fit = () => {
    if (!root.isConnected) { fits.delete(fit); return; }
    const width = Math.round(holder.clientWidth);
    if (width !== seen) { seen = width; redraw(); }
  };
  fits.add(fit);
  waiting.push(() => { fit(); new ResizeObserver(() => setTimeout(fit, 0)).observe(holder); });
  return { root, svg, redraw, holder };
}

function setSize(svg, width, height) {
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
}

function toggle(text, title, pressed, change, disabled) {
  return h("button", {
    type: "button", title, "aria-pressed": String(pressed), disabled,
    click: (event) => {
      const now = event.currentTarget.getAttribute("aria-pressed") !== "true";
      event.currentTarget.setAttribute("aria-pressed", String(now));
      change(now);
    },
  }, text);
}

function choose(label, options, chosen, change) {
  return h("select", { "aria-label": label, change: (event) => change(event.currentTarget.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

// ---- axes

function drawYAxis(svg, scale, left, right, name, count) {
  const ticks = ticksOf(scale, count), texts = tickTexts(ticks, name);
  ticks.forEach((t, i) => {
    const y = Math.round(scale.at(t)) + 0.5;
    svg.append(s("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }),
      s("text", { x: left - 6, y: y + 3.5, "text-anchor": "end" }, texts[i]));
  });
}

function drawXAxis(svg, scale, top, bottom, name, label) {
  const ticks = ticksOf(scale, Math.max(2, Math.floor((scale.to - scale.from) / 75))), texts = tickTexts(ticks, name);
  ticks.forEach((t, i) => {
    const x = Math.round(scale.at(t)) + 0.5;
    svg.append(s("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }),
      s("text", { x, y: bottom + 15, "text-anchor": "middle" }, texts[i]));
  });
  svg.append(s("line", { class: "axis", x1: scale.from, x2: scale.to, y1: bottom + 0.5, y2: bottom + 0.5 }),
    s("text", { x: scale.to, y: bottom + 30, "text-anchor": "end" }, label));
}

// Pixels that the texts of a y axis need.
function yRoom(scale, name, count) {
  return 14 + 6.4 * Math.max(2, ...tickTexts(ticksOf(scale, count), name).map((t) => t.length));
}

// ---- legend and tip

function legend(series, hidden, change) {
  return h("div", { class: "legend" }, series.map((one) => h("button", {
    type: "button", "aria-pressed": "true", title: "show or hide",
    click: (event) => {
      if (hidden.has(one.name)) { hidden.delete(one.name); } else { hidden.add(one.name); }
      event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(one.name)));
      change();
    },
  }, s("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" },
    s("line", { x1: 0, x2: 26, y1: 6, y2: 6, stroke: one.colour, "stroke-width": 2, "stroke-dasharray": one.dash }),
    mark(one.mark || 0, 13, 6, 3.2, { fill: one.colour })), one.name)));
}

// A small box beside the pointer: a heading, and [colour, name, value] a line.
function makeTip(root) {
  const box = h("div", { class: "tip", hidden: "" });
  root.append(box);
  return {
    hide: () => { box.hidden = true; },
    show: (x, y, heading, lines) => {
      box.replaceChildren(h("div", {}, h("b", {}, heading)), ...lines.map(([colour, name, value]) =>
        h("div", {}, colour ? h("i", { style: `background:${colour}` }) : null, name ? name + " " : "", h("b", {}, value))));
      box.hidden = false;
      const room = root.clientWidth - box.offsetWidth;
      box.style.left = Math.max(0, x + 14 > room ? Math.min(room, x - box.offsetWidth - 14) : x + 14) + "px";
      box.style.top = Math.max(0, y - box.offsetHeight - 8) + "px";
    },
  };
}
