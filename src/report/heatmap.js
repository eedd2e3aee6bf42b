// heatmap.js - a value for each layer and step as colour.

const SEQUENTIAL = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis
const DIVERGING = [[33, 102, 172], [146, 197, 222], [247, 247, 247], [253, 184, 99], [179, 88, 6]]; // blue, white, orange

function colourAt(stops, share) {
  const u = Math.max(0, Math.min(1, share)) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(u));
  const mix = stops[i].map((v, k) => Math.round(v + (stops[i + 1][k] - v) * (u - i)));
  return `rgb(${mix.join(",")})`;
}

// From a value to its colour; signed values around zero, the others from lowest to highest.
function colourScale(values, signed, wanted) {
  const log = wanted && values.some((v) => isNumber(v) && v > 0);
  const good = values.filter((v) => isNumber(v) && (!log || v > 0));
  const low = good.reduce((a, b) => Math.min(a, b), Infinity), high = good.reduce((a, b) => Math.max(a, b), -Infinity);
  if (signed) {
    const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return { low: -most, high: most, log: false, stops: DIVERGING, of: (v) => isNumber(v) ? colourAt(DIVERGING, (v / most + 1) / 2) : null };
  }
  const f = log ? Math.log10 : (v) => v, span = f(high) - f(low) || 1;
  return {
    low, high, log, stops: SEQUENTIAL,
    of: (v) => isNumber(v) && (!log || v > 0) ? colourAt(SEQUENTIAL, (f(v) - f(low)) / span) : null,
  };
}

// spec: title, note, rows: [{name, about, step, values: {key: [...]}}], modes: [{key, label, signed}]
function heatmap(spec) {
  const state = { mode: spec.modes[0], log: !spec.modes[0].signed };
  let place = null;
  function draw(svg, width) {
    const rows = spec.rows.filter((row) => row.values[state.mode.key]);
    const steps = rows.reduce((most, row) => row.step.length > most.length ? row.step : most, []);
    const phone = width < 480, high = rows.length > 40 ? 11 : 17, top = 4;
    const longest = Math.max(...rows.map((row) => row.name.length)), left = Math.min(6.3 * longest + 8, phone ? 112 : 210);
    const bottom = top + rows.length * high, wide = (width - left - 4) / Math.max(1, steps.length);
    const scale = colourScale(rows.flatMap((row) => row.values[state.mode.key]), state.mode.signed, state.log);
    setSize(svg, width, bottom + 66);
    let cells = 0;
    rows.forEach((row, r) => {
      const room = Math.floor((left - 8) / 6.3), name = row.name.length > room ? "…" + row.name.slice(1 - room) : row.name;
      svg.append(s("text", { x: left - 6, y: top + r * high + high / 2 + 4, "text-anchor": "end" }, name, s("title", {}, row.name)));
      row.values[state.mode.key].forEach((v, i) => {
        const colour = scale.of(v);
        cells += colour ? 1 : 0;
        svg.append(s("rect", { x: left + i * wide, y: top + r * high, width: Math.max(0.5, wide - (wide > 5 ? 0.6 : -0.3)), height: high - 1,
          fill: colour || "var(--middle)" }));
      });
    });
    drawSteps(svg, steps, left, bottom, wide, width);
    drawRamp(svg, scale, left, bottom + 34, Math.min(260, width - left - 60));
    place = { rows, steps, left, top, wide, high };
    return cells;
  }
  const chart = frame({
    title: spec.title, note: spec.note, draw,
    tools: [spec.modes.length > 1 ? choose("which value", spec.modes.map((m) => [m.key, m.label]), state.mode.key, (key) => {
      state.mode = spec.modes.find((m) => m.key === key);
      chart.redraw();
    }) : h("span", { class: "note" }, spec.modes[0].label),
    toggle("log", "logarithmic colours (of values that have no sign)", state.log, (on) => { state.log = on; chart.redraw(); })],
  });
  const tip = makeTip(chart.root);
  chart.svg.addEventListener("pointermove", (event) => {
    const box = chart.svg.getBoundingClientRect(), i = Math.floor((event.clientX - box.left - place.left) / place.wide);
    const row = place.rows[Math.floor((event.clientY - box.top - place.top) / place.high)];
    if (!row || i < 0 || i >= row.step.length) { tip.hide(); return; }
    tip.show(event.clientX - box.left, chart.holder.offsetTop + event.clientY - box.top, row.name,
      [[null, row.about || "", `step ${plain(row.step[i])}`], [null, state.mode.label, plain(row.values[state.mode.key][i])]]);
  });
  chart.svg.addEventListener("pointerleave", tip.hide);
  return chart.root;
}

function drawSteps(svg, steps, left, bottom, wide, width) {
  const every = Math.max(1, Math.ceil(60 / wide));
  steps.forEach((step, i) => {
    const x = left + (i + 0.5) * wide;
    if (i % every === 0 && x < width - 14) { svg.append(s("text", { x, y: bottom + 13, "text-anchor": "middle" }, plain(step))); }
  });
  svg.append(s("text", { x: left - 6, y: bottom + 13, "text-anchor": "end" }, "step"));
}

function drawRamp(svg, scale, left, top, width) {
  for (let i = 0; i < 40; i++) {
    svg.append(s("rect", { x: left + i * width / 40, y: top, width: width / 40 + 0.4, height: 8, fill: colourAt(scale.stops, i / 39) }));
  }
  svg.append(s("text", { x: left, y: top + 21 }, plain(scale.low, 3)),
    s("text", { x: left + width, y: top + 21, "text-anchor": "end" }, plain(scale.high, 3)),
    s("text", { x: left + width / 2, y: top + 21, "text-anchor": "middle" }, scale.log ? "logarithmic" : scale.stops === DIVERGING ? "0" : ""));
}
