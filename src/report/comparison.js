// comparison.js - the parts of a report about many runs: what comparison.json says (docs/comparison-format.md), and their curves.

// What all parts ask for: axes, cells by place, the look of each compared value.
function readComparison(data) {
  const c = data.comparison, compared = c.axes[0], rest = c.axes.slice(1), metric = c.metric.name;
  const runs = new Map(data.runs.map((run) => [run.name, run]));
  const settings = new Map(); // the values of the other axes, together -> cells
  for (const cell of c.cells) {
    const key = cell.at.slice(1).join(", ");
    if (!settings.has(key)) { settings.set(key, []); }
    settings.get(key).push(cell);
  }
  return { c, compared, rest, metric, runs, settings, style: styles(compared.values), restNames: rest.map((axis) => axis.key) };
}

const settingName = (k, key) => k.restNames.map((name, i) => `${name} ${key.split(", ")[i]}`).join(", ");
const swatch = (k, value) => h("span", { class: "swatch", style: `background:${k.style.get(value).colour}` });

// ---- the answer in a sentence

// "bn is best at batch 8", "bn and gn:8 cannot be told apart at batch 2", for one ranking.
function rankingSentence(k, ranking) {
  const ok = ranking.order.filter((one) => isNumber((k.c.cells.find((cell) => cell.id === one.cell) || { stats: {} }).stats.mean));
  const where = k.rest.length ? ` at ${settingName(k, ranking.at.join(", "))}` : "";
  if (!ok.length) { return `No run has a result${where}.`; }
  if (ok.length === 1) { return `Only ${ok[0].value} has a result${where}.`; }
  if (ok.some((one) => one.against)) { return versusSentence(k, ok, where); }
  const shares = (a, b) => [...(a.groups || "")].some((letter) => (b.groups || "").includes(letter));
  const rivals = ok.slice(1).filter((one) => shares(ok[0], one)).map((one) => one.value);
  if (!rivals.length) { return `${ok[0].value} is better than ${ok.length > 2 ? "all others" : ok[1].value}${where}.`; }
  if (rivals.length === ok.length - 1) { return `No difference can be told${where}: ${ok[0].value} comes first, but it may be chance.`; }
  return `${ok[0].value} comes first${where}, but cannot be told apart from ${listOf(rivals)}.`;
}

// One sentence for each setting of the other axes; one for all where none can be told, or where they are too many to read.
function answers(k) {
  const { c } = k, most = 5, others = listOf(k.restNames);
  if (c.rankings.length > 1 && c.pairs.length && !c.pairs.some((pair) => pair.better)) {
    return [`No difference can be told between ${listOf(k.compared.values)} at any ${others}.`];
  }
  const sentences = c.rankings.map((ranking) => rankingSentence(k, ranking));
  return sentences.length > most ? [...sentences.slice(0, most), `And ${sentences.length - most} more: see the ranking.`] : sentences;
}

function versusSentence(k, ok, where) {
  const of = (verdict) => ok.filter((one) => one.against === verdict).map((one) => one.value);
  const better = of("better"), worse = of("worse"), same = of("same"), parts = [];
  if (better.length) { parts.push(`${listOf(better)} ${better.length > 1 ? "are" : "is"} better than ${k.c.versus}`); }
  if (worse.length) { parts.push(`${listOf(worse)} ${worse.length > 1 ? "are" : "is"} worse than ${k.c.versus}`); }
  if (same.length) { parts.push(`${listOf(same)} cannot be told apart from ${k.c.versus}`); }
  return `${parts.join("; ")}${where}.`;
}

const listOf = (names) => names.length < 2 ? names.join("") : names.slice(0, -1).join(", ") + " and " + names[names.length - 1];

function comparisonHeadline(data) {
  const k = readComparison(data), { c } = k, count = (what) => c.cells.reduce((sum, cell) => sum + (cell.stats[what] || 0), 0);
  const failed = [["diverged", "diverged"], ["crashed", "crashed"], ["killed", "were killed"], ["missing", "are missing"]]
    .filter(([what]) => count(what) > 0).map(([what, text]) => `${count(what)} ${text}`);
  const decided = c.pairs.filter((pair) => pair.better).length, direction = c.metric.up ? "more is better" : "less is better";
  return [
    ...answers(k).map((text) => h("p", { class: "answer" }, h("b", {}, text))),
    h("p", { class: "note" }, `${words(c.compared)} compared by ${words(k.metric)} (${direction}), ${plural(c.seeds.length, "seed")} each, the same for all, ` +
      `so that differences are paired. ${decided} of ${plural(c.pairs.length, "pair")} can be told apart at p < ${c.alpha}, corrected for their number (Holm).` +
      (c.tune ? ` Each tuned its ${c.tune.key} first, on seed ${c.tune.seed}.` : "")),
    c.seeds_needed ? h("p", { class: "warn" }, `With so few seeds no pair could reach p < ${c.alpha}: ${c.seeds_needed} seeds are the fewest that could.`) : null,
    failed.length ? h("p", { class: "warn" }, `Of ${plural(count("n"), "run")} ${listOf(failed)}.`) : null,
    c.state === "partial" ? h("p", { class: "warn" }, "Some runs are missing: the same command goes on with them.") : null,
  ];
}

// ---- ranking and pairs

function rankingSection(k) {
  const { c, metric } = k, cellOf = (id) => c.cells.find((cell) => cell.id === id) || { stats: {} };
  const versus = Boolean(c.versus), troubled = (stats) => (stats.diverged || 0) + (stats.crashed || 0) + (stats.killed || 0);
  const row = (one, rank) => {
    const cell = cellOf(one.cell), stats = cell.stats;
    return h("tr", {}, h("td", { class: "n" }, String(rank + 1)), h("td", {}, swatch(k, one.value), one.value),
      h("td", { class: "n" }, show(metric, stats.mean)),
      h("td", { class: "n" }, isNumber(stats.low) ? `${show(metric, stats.low)} to ${show(metric, stats.high)}` : "–"),
      h("td", { class: "n" }, show(metric, stats.best)), h("td", {}, versus ? one.against || "(compared with)" : one.groups || "–"),
      c.tune ? h("td", { class: "n" }, cell.tuned ? cell.tuned[c.tune.key] : "–") : null,
      h("td", { class: "n" }, `${stats.ok} of ${stats.n}`, troubled(stats) ? h("span", { class: "bad" }, ` (${troubled(stats)} failed)`) : null),
      h("td", { class: "n" }, show("seconds", stats.seconds)), h("td", { class: "n" }, show("peak_bytes", stats.peak_bytes)));
  };
  const heads = [["n", ""], ["", c.compared], ["n", "mean"], ["n", "95% interval"], ["n", "best"], ["", versus ? "against " + c.versus : "group"],
    ...(c.tune ? [["n", c.tune.key]] : []), ["n", "runs"], ["n", "time"], ["n", "memory"]];
  return section("ranking", "Ranking",
    h("p", { class: "note" }, versus ? "" : "Those that share a letter in “group” cannot be told apart. The interval is of the mean over seeds."),
    c.rankings.map((ranking) => [k.rest.length ? h("h3", {}, settingName(k, ranking.at.join(", "))) : null,
      h("div", { class: "scroll" }, h("table", {}, h("tr", {}, heads.map(([kind, text]) => h("th", { class: kind || null }, text))), ranking.order.map(row)))]));
}

function pairSection(k) {
  const { c, metric } = k;
  if (!c.pairs.length) { return null; }
  const p = (x) => (!isNumber(x) ? "–" : x < 1e-4 ? x.toExponential(1) : String(Number(x.toPrecision(3))));
  const rows = c.pairs.map((pair) => h("tr", {},
    h("td", {}, swatch(k, pair.a), pair.a), h("td", {}, swatch(k, pair.b), pair.b), k.rest.length ? h("td", {}, settingName(k, pair.at.join(", "))) : null,
    h("td", { class: "n" }, isNumber(pair.difference) ? difference(metric, pair.difference) : "–"),
    h("td", { class: "n" }, isNumber(pair.low) ? `${difference(metric, pair.low, "")} to ${difference(metric, pair.high)}` : "–"),
    h("td", { class: "n" }, p(pair.p) + (pair.exact === false ? " *" : "")), h("td", { class: "n" }, p(pair.p_holm)),
    h("td", { class: "n" }, `${pair.wins} : ${pair.losses}` + (pair.ties ? ` (${plural(pair.ties, "tie")})` : "")),
    h("td", { class: pair.better ? "good" : null }, pair.better ? `${pair.better} is better` : "–")));
  return section("pairs", "Pairs",
    h("p", { class: "note" }, "Difference of the first to the second over the same seeds, with its 95% interval; p from a two-sided sign-flip permutation test" +
      `${c.pairs.some((pair) => pair.exact === false) ? " (* from 99,999 random sign patterns)" : ""}, then corrected for the number of pairs (Holm).`),
    h("div", { class: "scroll" }, h("table", {}, h("tr", {}, [["", "first"], ["", "second"], ...(k.rest.length ? [["", "at"]] : []), ["n", "difference"],
      ["n", "95% interval"], ["n", "p"], ["n", "p, corrected"], ["n", "wins"], ["", ""]].map(([kind, text]) => h("th", { class: kind || null }, text))), rows)));
}

// ---- dots

function dotCell(k, cell, group) {
  const stats = cell.stats, failed = ["diverged", "crashed", "killed", "missing"].filter((what) => stats[what]).map((what) => `${stats[what]} ${what}`);
  return {
    group, mean: stats.mean, low: stats.low, high: stats.high, values: cell.runs.map((run) => run.value).filter(isNumber),
    about: `${stats.ok} of ${stats.n} runs${failed.length ? ": " + failed.join(", ") : ""}`,
  };
}

// Against the second axis; of a third and more, a chart for each of their values.
function dotSection(k) {
  const { c, compared, rest, metric } = k, second = rest[0], further = new Map();
  for (const cell of c.cells) {
    const key = cell.at.slice(2).map((value, i) => `${rest[i + 1].key} ${value}`).join(", ");
    if (!further.has(key)) { further.set(key, []); }
    further.get(key).push(cell);
  }
  const chart = ([key, cells]) => dotChart({
    title: words(metric) + (second ? ` against ${words(second.key)}` : "") + (key ? `, ${key}` : ""), metric,
    groups: second ? second.values : null, groupLabel: second ? words(second.key) : "",
    series: compared.values.map((value) => ({
      name: value, ...k.style.get(value), cells: cells.filter((cell) => cell.at[0] === value).map((cell) => dotCell(k, cell, second ? cell.at[1] : null)),
    })),
  });
  return section("dots", "Means and intervals",
    h("p", { class: "note" }, "Large marks are means over seeds with their 95% t-intervals, small dots single runs."), [...further].map(chart));
}

// ---- curves with bands

function interpolate(x, y, at) {
  if (at < x[0] || at > x[x.length - 1]) { return null; }
  let low = 0, high = x.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] <= at) { low = middle; } else { high = middle; }
  }
  return x[high] === x[low] ? y[low] : y[low] + (y[high] - y[low]) * (at - x[low]) / (x[high] - x[low]);
}

// t such that a share of 95% lies between -t and t, for 1 to 30 degrees of freedom; beyond, by Hill's first terms.
const T95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101,
  2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042];
const t95 = (freedom) => T95[freedom - 1] || 1.96 + 2.4 / freedom;

// Mean over seeds and a band around it, on a grid of at most 150 places; runs that ended early count as far as they go.
function meanCurve(curves, key, band) {
  const runs = curves.map((curve) => ({ x: curve[key], y: curve.value })).filter((run) => run.x && run.x.length);
  if (!runs.length) { return null; }
  const all = [...new Set(runs.flatMap((run) => run.x))].sort((a, b) => a - b), most = 150;
  const grid = all.length <= most ? all : Array.from({ length: most }, (none, i) => all[Math.round(i * (all.length - 1) / (most - 1))]);
  const out = { x: [], y: [], low: [], high: [] };
  for (const x of grid) {
    const here = runs.map((run) => interpolate(run.x, run.y, x)).filter(isNumber), n = here.length;
    if (!n || (key === "seconds" && n < runs.length)) { continue; } // by the clock, only where all were at work
    const mean = here.reduce((a, b) => a + b, 0) / n, sd = Math.sqrt(here.reduce((sum, v) => sum + (v - mean) ** 2, 0) / Math.max(1, n - 1));
    const half = n > 1 ? t95(n - 1) * sd / Math.sqrt(n) : 0;
    out.x.push(x);
    out.y.push(mean);
    out.low.push(band === "t" ? mean - half : Math.min(...here));
    out.high.push(band === "t" ? mean + half : Math.max(...here));
  }
  return runs.length > 1 ? out : { x: out.x, y: out.y };
}

// All curves of the runs: "train: loss" -> how many runs have it.
function curveNames(data) {
  const names = new Map();
  for (const run of data.runs) {
    for (const { event, curves } of run.events) {
      for (const { name } of curves) { names.set(`${event}: ${name}`, (names.get(`${event}: ${name}`) || 0) + 1); }
    }
  }
  return names;
}

function findCurve(run, full) {
  const [event, name] = full.split(": "), found = run && run.events.find((e) => e.event === event);
  return found ? found.curves.find((curve) => curve.name === name) : null;
}

function curveSection(k, data) {
  const names = [...curveNames(data).keys()].filter((name) => !/: best$/.test(name));
  if (!names.length) { return null; }
  const first = names.find((name) => name.endsWith(": " + k.metric)), loss = names.find((name) => name === "train: loss") || names.find((name) => LOSS.test(name));
  const holder = h("div"), state = { full: null, band: "range" };
  const draw = () => {
    const wanted = state.full ? [state.full] : [...new Set([first, loss].filter(Boolean))];
    holder.replaceChildren(...(wanted.length ? wanted : names.slice(0, 1)).map((full) => h("div", { style: "margin-bottom:22px" },
      h("div", { class: k.settings.size > 2 ? "charts small" : "charts" }, [...k.settings].map(([key, cells]) => bandChart(k, full, key, cells, state.band))))));
    drawWaiting();
  };
  waiting.push(draw);
  return section("curves", "Learning curves",
    h("p", { class: "note" }, "Means over seeds; the band goes from the lowest to the highest run, or is the 95% t-interval of the mean. By the clock a curve ends where its first run does."),
    h("div", { class: "tools" },
      choose("which curves", [["", "main curves"], ...names.map((name) => [name, words(name)])], "", (value) => { state.full = value || null; draw(); }),
      choose("band", [["range", "band: lowest to highest"], ["t", "band: 95% interval"]], "range", (value) => { state.band = value; draw(); })),
    holder);
}

function bandChart(k, full, key, cells, band) {
  const name = full.split(": ")[1];
  return lineChart({
    title: words(name) + (key ? `, ${settingName(k, key)}` : ""), metric: name, axes: AXES, height: 240,
    series: cells.map((cell) => {
      const curves = cell.runs.map((run) => findCurve(k.runs.get(run.folder), full)).filter(Boolean);
      return { name: cell.at[0], ...k.style.get(cell.at[0]), along: (axis) => meanCurve(curves, axis, band) };
    }).filter((one) => one.along("step")),
  });
}

// ---- the rest

// What only some runs have in full: a choice between them.
function detailSections(data) {
  const detailed = data.runs.filter((run) => run.layers);
  if (!detailed.length) { return null; }
  const holder = h("div"), draw = (name) => {
    const run = detailed.find((one) => one.name === name);
    holder.replaceChildren(...[confusionSection(run), pictureSection(run), textSection(run), layerCharts(run), summarySection(run)].filter(Boolean));
    drawWaiting();
  };
  const some = detailed.some((run) => confusionSection(run) || (run.pictures || []).length || (run.texts || []).length || run.layers.length || run.summary);
  if (!some) { return null; }
  waiting.push(() => draw(detailed[0].name));
  return section("details", "A run in detail",
    h("p", { class: "note" }, "The first finished run of each cell" + (detailed.length < data.comparison.cells.length ? `, of ${detailed.length} cells` : "") + "."),
    choose("which run", detailed.map((run) => [run.name, run.name]), detailed[0].name, draw), holder);
}

function runsSection(k) {
  const { c, metric } = k;
  const rows = c.cells.flatMap((cell) => cell.runs.map((run) => h("tr", {}, cell.at.map((value) => h("td", {}, value)), h("td", { class: "n" }, plain(run.seed)),
    h("td", { class: run.status === "ok" ? null : "bad" }, run.status), h("td", { class: "n" }, show(metric, run.value)),
    h("td", { class: "n" }, show("seconds", run.seconds)), h("td", { class: "value" }, run.reason || ""))));
  return section("runs", "All runs", h("details", {}, h("summary", {}, plural(rows.length, "run")), h("div", { class: "scroll" },
    h("table", {}, h("tr", {}, [...c.axes.map((axis) => axis.key), "seed", "outcome", words(metric), "time", ""].map((text) => h("th", {}, text))), rows))));
}

function comparisonSetup(k) {
  const { c } = k;
  const asked = { program: c.program, ...Object.fromEntries(c.axes.map((axis) => [axis.key, axis.values.join(", ")])), seeds: c.seeds.join(", "), ...(c.fixed || {}),
    ...(c.budget ? Object.fromEntries(Object.entries(c.budget).map(([key, value]) => ["budget: " + key, value])) : {}),
    ...(c.tune ? { ["tuned: " + c.tune.key]: `${c.tune.values.join(", ")} (seed ${c.tune.seed})` } : {}) };
  return section("setup", "How it was made", h("h3", {}, "The command that repeats it, or goes on with what is missing"), commandBlock(c.command),
    h("div", { class: "columns" }, h("div", {}, h("h3", {}, "What was compared"), pairsTable(asked)),
      h("div", {}, h("h3", {}, "Machine and version"), pairsTable({ version: c.version, ...(c.machine || {}) }))));
}

function comparisonSections(data) {
  const k = readComparison(data);
  return [dotSection(k), rankingSection(k), pairSection(k), curveSection(k, data), detailSections(data), runsSection(k), comparisonSetup(k)];
}
