// sections.js - the parts of a report about one run.

const LOSS = /loss|perplexity|nll|bits/, MAIN = /loss|accuracy|perplexity|bits|frechet|fid|coverage|score/;

// ---- curves

// {name -> [{event, name, step, seconds, value}]}: losses share a chart, accuracies another, all others have their own.
function curveGroups(run) {
  const groups = new Map();
  for (const { event, curves } of run.events) {
    for (const curve of curves) {
      if (curve.name === "best") { continue; }
      const list = /\[\d+\]$/.test(curve.name) ? curve.name.replace(/\[\d+\]$/, "") : null;
      const group = list || (/accuracy/.test(curve.name) ? "accuracy" : /loss/.test(curve.name) ? "loss" : curve.name);
      if (!groups.has(group)) { groups.set(group, []); }
      groups.get(group).push({ ...curve, event });
    }
  }
  for (const [name, curves] of groups) { // the same number told by two events: the finer one says it all
    const most = Math.max(...curves.map((one) => one.value.length));
    if (!MAIN.test(name) && curves.every((one) => one.name === name)) { groups.set(name, curves.filter((one) => one.value.length === most).slice(0, 1)); }
  }
  return groups;
}

const AXES = [{ key: "step", label: "step" }, { key: "seconds", label: "seconds of training" }];

// A curve along steps or seconds.
function alongRun(curve) {
  return (key) => curve[key] ? { x: curve[key], y: curve.value } : null;
}

function runCharts(run) {
  const groups = [...curveGroups(run)].filter(([, curves]) => curves.some((c) => c.value.some(isNumber)));
  if (!groups.length) { return null; }
  const order = ([name]) => (MAIN.test(name) ? 0 : 1);
  const chart = ([name, curves]) => {
    const twice = (one) => curves.filter((other) => other.name === one.name).length > 1;
    const names = curves.map((one) => words(one.name) + (twice(one) ? ` (${one.event})` : ""));
    const style = styles(names);
    const axes = curves.some((one) => one.seconds) ? AXES : AXES.slice(0, 1);
    return lineChart({
      title: words(name), metric: name, axes, height: MAIN.test(name) ? 260 : 180,
      series: curves.map((one, i) => ({ name: names[i], ...style.get(names[i]), along: alongRun(one) })),
    });
  };
  const main = groups.filter((g) => order(g) === 0), rest = groups.filter((g) => order(g) === 1);
  return section("curves", "Learning curves",
    h("div", { class: "charts" }, main.map(chart)), rest.length && main.length ? h("br") : null,
    h("div", { class: "charts small" }, rest.map(chart)));
}

// ---- statistics of layers

function layerCharts(run, where) {
  const layers = run.layers || [], activations = layers.filter((l) => l.event === "norm_stats");
  const weights = layers.filter((l) => l.event === "weight_stats");
  if (!layers.length) { return null; }
  const rows = (list) => list.map((l) => ({ name: l.name, about: words(l.kind || ""), step: l.step, values: l.values }));
  return section("layers" + (where ? "-" + where : ""), "Inside the net" + (where ? ": " + where : ""),
    h("p", { class: "note" }, "Each row is a layer, in the order it runs, or a parameter; each column a step at which the run looked inside (--norm-stats)."),
    activations.length ? heatmap({
      title: "Activations", rows: rows(activations),
      modes: [{ key: "out_var", label: "variance of what comes out" }, { key: "out_mean", label: "mean of what comes out", signed: true },
        { key: "in_var", label: "variance of what goes in" }, { key: "in_mean", label: "mean of what goes in", signed: true }],
    }) : null,
    weights.length ? heatmap({
      title: "Gradients and weights", rows: rows(weights),
      modes: [{ key: "grad_norm", label: "length of the gradient" }, { key: "sigma", label: "largest singular value" }],
    }) : null);
}

// ---- classifiers

function confusionTable(confusion) {
  const { classes, counts } = confusion, many = classes.length > 12;
  const cell = (row, k, i) => {
    const all = row.reduce((a, b) => a + b, 0), share = all ? row[k] / all : 0, right = i === k;
    const strength = Math.round(100 * Math.sqrt(share));
    return h("td", {
      style: `background: color-mix(in srgb, var(--${right ? "blue" : "red"}) ${strength}%, var(--panel));` + (strength > 80 ? "color:var(--paper)" : ""),
      title: `${classes[i]} taken for ${classes[k]}: ${row[k]} of ${all}`,
    }, many || !row[k] ? "" : String(row[k]));
  };
  return h("table", { class: "matrix" },
    h("thead", {}, h("tr", {}, h("th", {}, ""), classes.map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, "right"))),
    h("tbody", {}, counts.map((row, i) => h("tr", {}, h("th", { scope: "row", title: classes[i] }, classes[i]), row.map((v, k) => cell(row, k, i)),
      h("td", {}, show("accuracy", row[i] / row.reduce((a, b) => a + b, 0)).replace(/\.(\d)\d%/, ".$1%"))))));
}

// Bytes [C, H, W], two hexadecimal digits each.
function paintPixels(confusion, hex) {
  const { channels, height, width } = confusion, size = height * width;
  const canvas = h("canvas", { width, height }), context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const byte = (k) => parseInt(hex.substr(2 * k, 2), 16);
  for (let p = 0; p < size; p++) {
    for (let c = 0; c < 3; c++) { image.data[4 * p + c] = byte((channels >= 3 ? c : 0) * size + p); }
    image.data[4 * p + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function mistakeStrip(confusion) {
  const name = (k) => confusion.classes[k] || String(k);
  return h("div", { class: "strip" }, confusion.mistakes.map((one) => {
    const canvas = paintPixels(confusion, one.pixels);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${name(one.label)}, taken for ${name(one.said)}`);
    return h("div", { class: "mistake" }, canvas, h("div", {}, `${name(one.said)} ${(100 * one.probability).toFixed(1)}%`),
      h("div", { class: "note" }, "is: " + name(one.label)));
  }));
}

function confusionSection(run, where) {
  const confusion = run.confusion;
  if (!confusion || !Array.isArray(confusion.counts)) { return null; }
  const mistakes = confusion.mistakes || [];
  return section("confusion" + (where ? "-" + where : ""), "What is taken for what" + (where ? ": " + where : ""),
    h("p", { class: "note" }, `Rows are the true class, columns what the model said, over the ${confusion.split || "test"} set. The last column: share of the row that is right.`),
    h("div", { class: "scroll", "data-chart": "confusion", "data-drawn": confusion.counts.length }, confusionTable(confusion)),
    mistakes.length ? [h("h3", { style: "margin:18px 0 8px" }, "Worst mistakes"),
      h("p", { class: "note" }, "Those that the model was surest about: what it said, and how sure it was."), mistakeStrip(confusion)] : null);
}

// ---- samples

function pictureSection(run, where) {
  const pictures = [...(run.pictures || [])].reverse();
  if (!pictures.length) { return null; }
  const shown = pictures.length < run.pictures_in_all ? ` ${pictures.length} of ${run.pictures_in_all} are shown.` : "";
  return section("pictures" + (where ? "-" + where : ""), "Samples" + (where ? ": " + where : ""),
    shown ? h("p", { class: "note" }, "Evenly chosen." + shown) : null,
    h("div", { class: "strip" }, pictures.map((one) => h("figure", { "data-chart": one.file, "data-drawn": 1 },
      h("img", { src: one.uri, alt: one.file, load: enlarge }),
      h("div", { class: "caption" }, one.step === undefined ? one.file : `step ${plain(one.step)} · ${one.file}`)))));
}

// Small grids are shown two or three times as large: whole pixels stay sharp.
function enlarge(event) {
  const image = event.currentTarget, times = Math.max(1, Math.min(4, Math.floor(340 / image.naturalWidth)));
  image.style.width = image.naturalWidth * times + "px";
}

function textSection(run, where) {
  const texts = run.texts || [];
  if (!texts.length) { return null; }
  const one = (text) => [h("p", { class: "note" }, text.step === undefined ? "" : `step ${plain(text.step)}`), h("pre", { class: "wrap" }, text.text)];
  const last = texts[texts.length - 1], earlier = texts.slice(0, -1);
  return section("texts" + (where ? "-" + where : ""), "Text it writes" + (where ? ": " + where : ""), one(last),
    earlier.length ? h("details", {}, h("summary", {}, `earlier: ${earlier.length}` +
      (texts.length < run.texts_in_all ? `, evenly chosen from ${run.texts_in_all - 1}` : "")), earlier.map(one)) : null);
}

// ---- what it was

const valueText = (v) => v === null || v === undefined ? "–" : typeof v === "object" ? JSON.stringify(v) : String(v);

function pairsTable(object) {
  return h("table", {}, Object.entries(object).map(([key, value]) =>
    h("tr", {}, h("th", {}, key), h("td", { class: "value" }, key === "memory" || /bytes$/.test(key) ? show(key, value) : valueText(value)))));
}

function commandBlock(command) { return command ? h("pre", { class: "wrap" }, command) : h("p", { class: "note" }, "not known"); }

function setupSection(run) {
  const config = run.config || {};
  return section("setup", "How it was made",
    h("h3", {}, "The command that repeats it"), commandBlock(config.command),
    h("div", { class: "columns" },
      h("div", {}, h("h3", {}, "Options"), config.options ? pairsTable(config.options) : h("p", { class: "note" }, "no config.json")),
      h("div", {}, h("h3", {}, "Machine and version"), pairsTable({
        program: config.program, version: config.version, written: config.written, ...(config.machine || {}), folder: run.folder,
      }))));
}

function summarySection(run) {
  return run.summary ? section("model", "The model", h("pre", {}, run.summary)) : null;
}

function notesTable(run) {
  const told = (run.notes || []).filter((n) => n.event !== "start" && n.event !== "end");
  if (!told.length) { return null; }
  return section("events", "What else happened", h("div", { class: "scroll" }, h("table", {}, told.map((n) => {
    const rest = Object.entries(n).filter(([key]) => key !== "event" && key !== "step");
    return h("tr", {}, h("th", {}, n.event), h("td", { class: "n" }, isNumber(n.step) ? "step " + plain(n.step) : ""),
      h("td", { class: "value" }, rest.map(([key, value]) => `${words(key)}: ${isNumber(value) ? show(key, value) : valueText(value)}`).join("; ")));
  }))));
}

// ---- the headline of a run

const eventOf = (run, name) => (run.notes || []).filter((n) => n.event === name).pop();

// The measure that matters most of those an event has.
function mainMetric(fields) {
  const wanted = ["test_accuracy", "val_accuracy", "accuracy", "test_loss", "val_loss", "fid", "frechet", "high_quality", "coverage", "loss"];
  return wanted.find((name) => isNumber(fields[name])) || null;
}

function outcome(run) {
  const trouble = eventOf(run, "nonfinite") || eventOf(run, "diverged"), end = eventOf(run, "end"), stop = eventOf(run, "stop");
  if (end) { return { end, state: "finished" }; }
  if (trouble) { return { state: `diverged at step ${plain(trouble.step)}`, reason: trouble.reason }; }
  return { state: stop ? `stopped at step ${plain(stop.step)}` : "has no end: it is still going, or was killed" };
}

// The last values of all that was measured, for runs without an end.
function lastValues(run) {
  const last = {};
  for (const { curves } of run.events) {
    for (const curve of curves) {
      last[curve.name] = curve.value[curve.value.length - 1];
      if (curve.step) { last.step = curve.step[curve.step.length - 1]; }
      if (curve.seconds) { last.seconds = curve.seconds[curve.seconds.length - 1]; }
    }
  }
  return last;
}

const FACTS = { epoch: "epochs", step: "steps", seconds: "of training", step_bytes: "memory of a step", peak_bytes: "memory at most" };
const factName = (key) => FACTS[key] || words(key);

function runHeadline(run) {
  const result = outcome(run), fields = result.end || lastValues(run), metric = mainMetric(fields), config = run.config || {};
  const what = [config.program, config.options && config.options.arch, config.options && config.options.norm].filter(Boolean).join(", ");
  const best = isNumber(fields.best) && fields.best !== fields[metric] ? `, best ${show(metric, fields.best)}` : "";
  const answer = metric ? `${words(metric).replace(/^./, (c) => c.toUpperCase())} ${show(metric, fields[metric])}${best}.` : result.end ? "Finished." : "No result yet.";
  const start = eventOf(run, "start") || {}, shown = { ...fields };
  delete shown.event;
  if (isNumber(start.parameters)) { shown.parameters = start.parameters; }
  return [
    h("p", { class: "answer" }, h("b", {}, answer), result.end ? "" : ` The run ${result.state}.`),
    result.reason ? h("p", { class: "warn" }, result.reason) : null,
    h("p", { class: "note" }, (what ? what + ". " : "") +
      "One run with one seed does not say how much the next one would differ: tare compare runs several seeds, and says how sure it is."),
    h("div", { class: "facts" }, Object.entries(shown).filter(([, v]) => isNumber(v)).slice(0, 12).map(([key, v]) =>
      h("div", { class: "fact" }, h("b", {}, show(key === "best" ? metric : key, v)), h("span", {}, factName(key))))),
  ];
}

function runSections(run) {
  return [runCharts(run), confusionSection(run), pictureSection(run), textSection(run), layerCharts(run), notesTable(run),
    summarySection(run), setupSection(run)];
}
