// dots.js - means with their intervals: against another axis, or one below the other.

// spec: title, note, metric, groups: ["2", "8", ..] or null, groupLabel,
//   series: [{name, colour, mark, cells: [{group, mean, low, high, values: [..], about}]}]
function dotChart(spec) {
  const state = { hidden: new Set(), log: false };
  let spots = [];
  const shown = () => spec.series.filter((one) => !state.hidden.has(one.name));
  function draw(svg, width) {
    spots = [];
    const all = shown().flatMap((one) => one.cells).flatMap((c) => [c.mean, c.low, c.high, ...c.values]).filter(isNumber);
    return spec.groups ? drawColumns(svg, width, all) : drawRows(svg, width, all);
  }

  // One column for each value of the other axis, the series side by side in it, lines through their means.
  function drawColumns(svg, width, all) {
    const height = 300, top = 8, bottom = height - 34, series = shown();
    const y = makeScale(all, bottom, top, state.log), left = yRoom(y, spec.metric, 6), right = width - 6;
    const wide = (right - left) / spec.groups.length, gap = Math.min(24, 0.7 * wide / Math.max(1, series.length));
    setSize(svg, width, height);
    drawYAxis(svg, y, left, right, spec.metric, 6);
    spec.groups.forEach((group, g) => svg.append(s("text", { class: "strong", x: left + (g + 0.5) * wide, y: bottom + 15, "text-anchor": "middle" }, group)));
    svg.append(s("text", { x: right, y: bottom + 30, "text-anchor": "end" }, spec.groupLabel));
    let marks = 0;
    series.forEach((one, k) => {
      const at = (cell) => left + (spec.groups.indexOf(cell.group) + 0.5) * wide + (k - (series.length - 1) / 2) * gap;
      const cells = one.cells.filter((c) => y.shows(c.mean));
      svg.append(s("path", {
        d: "M" + (cells.map((c) => `${at(c).toFixed(1)} ${y.at(c.mean).toFixed(1)}`).join("L") || "0 0"),
        fill: "none", stroke: one.colour, opacity: 0.45, "stroke-dasharray": one.dash,
      }));
      cells.forEach((cell) => { marks += drawDot(svg, one, cell, at(cell), y, true); });
      one.cells.filter((c) => !isNumber(c.mean)).forEach((c) => svg.append(s("text", { x: at(c), y: bottom - 4, "text-anchor": "middle" }, "✕", s("title", {}, c.about))));
    });
    return marks;
  }

  // One row for each series.
  function drawRows(svg, width, all) {
    const series = shown(), high = 30, top = 6, bottom = top + series.length * high;
    const longest = Math.max(...series.map((one) => one.name.length), 1), left = Math.min(7 * longest + 14, width * 0.4), right = width - 14;
    const x = makeScale(all, left, right, state.log);
    setSize(svg, width, bottom + 34);
    drawXAxis(svg, x, top, bottom, spec.metric, words(spec.metric));
    let marks = 0;
    series.forEach((one, k) => {
      const cell = one.cells[0], at = top + (k + 0.5) * high;
      svg.append(s("text", { class: "strong", x: left - 10, y: at + 4, "text-anchor": "end" }, one.name));
      if (cell && x.shows(cell.mean)) { marks += drawDot(svg, one, cell, at, x, false); }
    });
    return marks;
  }

  // Seeds as faint dots, the interval as a line, the mean as a mark.
  function drawDot(svg, one, cell, across, scale, upright) {
    const place = (v, off) => (upright ? [across + off, scale.at(v)] : [scale.at(v), across + off]);
    cell.values.filter((v) => scale.shows(v)).forEach((v, i) => {
      const [cx, cy] = place(v, ((i % 3) - 1) * 2.5);
      svg.append(s("circle", { cx, cy, r: 2, fill: one.colour, opacity: 0.35 }));
    });
    if (scale.shows(cell.low) && scale.shows(cell.high)) {
      const [x1, y1] = place(cell.low, 0), [x2, y2] = place(cell.high, 0);
      svg.append(s("line", { x1, y1, x2, y2, stroke: one.colour, "stroke-width": 2 }));
    }
    const [x, y] = place(cell.mean, 0);
    svg.append(mark(one.mark, x, y, 4.4, { fill: one.colour, stroke: "var(--paper)" }));
    spots.push({ x, y, one, cell });
    return 1;
  }

  const chart = frame({
    title: spec.title, note: spec.note, draw, label: `${spec.title}: ${spec.series.flatMap((one) => one.cells.map((c) => `${one.name}${c.group ? " at " + c.group : ""} ${show(spec.metric, c.mean)}`)).join("; ")}`,
    tools: [toggle("log", "logarithmic axis", false, (on) => { state.log = on; chart.redraw(); })],
    below: spec.groups ? legend(spec.series, state.hidden, () => chart.redraw()) : null,
  });
  const tip = makeTip(chart.root);
  let at = -1;
  const tell = (spot) => tip.show(spot.x, chart.holder.offsetTop + spot.y, spot.one.name + (spot.cell.group ? `, ${spec.groupLabel} ${spot.cell.group}` : ""), [
    [spot.one.colour, "mean", show(spec.metric, spot.cell.mean)],
    ...(isNumber(spot.cell.low) ? [[null, "95% interval", `${show(spec.metric, spot.cell.low)} to ${show(spec.metric, spot.cell.high)}`]] : []),
    [null, "", spot.cell.about]]);
  chart.svg.addEventListener("pointermove", (event) => {
    const box = chart.svg.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    const far = (spot) => (spot.x - px) ** 2 + (spot.y - py) ** 2;
    const best = spots.reduce((a, b) => (a && far(a) <= far(b) ? a : b), null);
    if (best) { tell(best); }
  });
  chart.svg.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") { tip.hide(); }
    if (!way || !spots.length) { return; }
    event.preventDefault();
    at = Math.max(0, Math.min(spots.length - 1, at + way));
    tell(spots[at]);
  });
  chart.svg.addEventListener("pointerleave", tip.hide);
  chart.svg.addEventListener("blur", tip.hide);
  return chart.root;
}
