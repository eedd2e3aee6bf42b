// lines.js - curves along a run, with bands where several runs stand behind one.

// spec: title, note, metric (names the y axis), axes ([{key, label}]), logY, height,
//   series: [{name, colour, dash, mark, along: (key) => ({x, y, low, high}) or null}]   low and high only for bands
function lineChart(spec) {
  const state = { axis: spec.axes[0].key, logX: false, logY: Boolean(spec.logY), hidden: new Set() };
  const height = spec.height || 250, metric = spec.metric || "";
  let shown = [], place = null;

  const visible = () => spec.series.filter((one) => !state.hidden.has(one.name))
    .map((one) => ({ ...one, curve: one.along(state.axis) })).filter((one) => one.curve && one.curve.x.length);

  function draw(svg, width) {
    shown = visible();
    const top = 8, bottom = height - 34;
    const ys = shown.flatMap((one) => [one.curve.y, one.curve.low || [], one.curve.high || []]).flat();
    const y = makeScale(ys, bottom, top, state.logY, true);
    const left = yRoom(y, metric, 5), right = width - 10;
    const x = makeScale(shown.flatMap((one) => one.curve.x), left, right, state.logX);
    place = { x, y, top, bottom };
    setSize(svg, width, height);
    drawXAxis(svg, x, top, bottom, "", spec.axes.find((a) => a.key === state.axis).label);
    drawYAxis(svg, y, left, right, metric, 5);
    let marks = 0;
    for (const one of shown) { marks += drawBand(svg, one, x, y); }
    for (const one of shown) { marks += drawCurve(svg, one, x, y); }
    svg.append(s("g", { class: "hover" }));
    return marks;
  }

  const axes = spec.axes.length > 1 ? choose("along", spec.axes.map((a) => [a.key, "per " + a.key.replace(/s$/, "")]), state.axis,
    (key) => { state.axis = key; chart.redraw(); }) : null;
  const chart = frame({
    title: spec.title, note: spec.note, label: describeCurves(spec), draw,
    tools: [axes, toggle("log x", "logarithmic x axis", false, (on) => { state.logX = on; chart.redraw(); }),
      toggle("log y", "logarithmic y axis", state.logY, (on) => { state.logY = on; chart.redraw(); })],
    below: [spec.series.length > 1 ? legend(spec.series, state.hidden, () => chart.redraw()) : null, curveTable(spec)],
  });
  followPointer(chart, () => ({ shown, place, metric, axis: state.axis }));
  return chart.root;
}

function drawBand(svg, one, x, y) {
  const { low, high } = one.curve;
  if (!low) { return 0; }
  const rows = one.curve.x.map((v, i) => i).filter((i) => x.shows(one.curve.x[i]) && y.shows(low[i]) && y.shows(high[i]));
  if (rows.length < 2) { return 0; }
  const point = (i, v) => `${x.at(one.curve.x[i]).toFixed(1)} ${y.at(v).toFixed(1)}`;
  svg.append(s("path", {
    d: "M" + rows.map((i) => point(i, high[i])).join("L") + "L" + rows.reverse().map((i) => point(i, low[i])).join("L") + "z",
    fill: one.colour, opacity: 0.16,
  }));
  return 1;
}

function drawCurve(svg, one, x, y) {
  const rows = one.curve.x.map((v, i) => i).filter((i) => x.shows(one.curve.x[i]) && y.shows(one.curve.y[i]));
  const points = rows.map((i) => [x.at(one.curve.x[i]), y.at(one.curve.y[i])]);
  if (points.length > 1) {
    svg.append(s("path", {
      d: "M" + points.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L"),
      fill: "none", stroke: one.colour, "stroke-width": 1.8, "stroke-dasharray": one.dash, "stroke-linejoin": "round",
    }));
  }
  if (points.length <= 30) {
    points.forEach(([a, b]) => svg.append(mark(one.mark || 0, a, b, points.length > 12 ? 2.4 : 3.2, { fill: one.colour })));
  }
  return points.length;
}

// ---- values under the pointer, or under the arrow keys

function nearest(list, value) {
  let best = 0;
  list.forEach((v, i) => { if (Math.abs(v - value) < Math.abs(list[best] - value)) { best = i; } });
  return best;
}

function followPointer(chart, look) {
  const tip = makeTip(chart.root);
  let at = null;
  const clear = () => { tip.hide(); const g = chart.svg.querySelector(".hover"); if (g) { g.replaceChildren(); } };
  function point(value) {
    const { shown, place, metric, axis } = look(), g = chart.svg.querySelector(".hover");
    if (!g || !shown.length) { return; }
    const first = shown.map((one) => one.curve.x[nearest(one.curve.x, value)]);
    at = first[nearest(first, value)];
    const px = place.x.at(at), lines = [];
    g.replaceChildren(s("line", { class: "axis", x1: px, x2: px, y1: place.top, y2: place.bottom }));
    for (const one of shown) {
      const i = nearest(one.curve.x, at), v = one.curve.y[i];
      const band = one.curve.low ? ` (${show(metric, one.curve.low[i])} to ${show(metric, one.curve.high[i])})` : "";
      if (!place.y.shows(v)) { continue; }
      g.append(mark(one.mark || 0, place.x.at(one.curve.x[i]), place.y.at(v), 4, { fill: one.colour, stroke: "var(--paper)" }));
      lines.push([one.colour, one.name, show(metric, v) + band]);
    }
    const offset = chart.holder.offsetTop;
    tip.show(px, offset + place.top + 40, `${axis.replace(/s$/, "")} ${plain(at, 5)}`, lines);
  }
  chart.svg.addEventListener("pointermove", (event) => {
    const { place } = look(), box = chart.svg.getBoundingClientRect();
    if (place) { point(place.x.back(event.clientX - box.left)); }
  });
  chart.svg.addEventListener("pointerleave", clear);
  chart.svg.addEventListener("blur", clear);
  chart.svg.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key], { shown } = look();
    if (event.key === "Escape") { clear(); }
    if (!way || !shown.length) { return; }
    event.preventDefault();
    const xs = shown[0].curve.x, i = at === null ? (way > 0 ? -1 : xs.length) : nearest(xs, at);
    point(xs[Math.max(0, Math.min(xs.length - 1, i + way))]);
  });
}

// ---- the same for those who do not see the chart

function describeCurves(spec) {
  const last = spec.series.map((one) => {
    const curve = one.along(spec.axes[0].key);
    return curve && curve.y.length ? `${one.name} ends at ${show(spec.metric, curve.y[curve.y.length - 1])}` : null;
  }).filter(Boolean);
  return `${spec.title}: ${last.join("; ")}`;
}

function curveTable(spec) {
  const rows = spec.series.map((one) => {
    const curve = one.along(spec.axes[0].key), y = curve ? curve.y.filter(isNumber) : [];
    if (!y.length) { return null; }
    const low = y.reduce((a, b) => Math.min(a, b)), high = y.reduce((a, b) => Math.max(a, b));
    return h("tr", {}, h("td", {}, one.name), [y[0], low, high, y[y.length - 1]].map((v) =>
      h("td", { class: "n" }, show(spec.metric, v))));
  });
  return h("details", { class: "values" }, h("summary", {}, "values"), h("div", { class: "scroll" }, h("table", {}, h("tr", {}, h("th", {}, ""),
    ["first", "lowest", "highest", "last"].map((t) => h("th", { class: "n" }, t))), rows)));
}
