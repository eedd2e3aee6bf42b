// probe.js - put behind a report's page by page.sh: presses all there is to press, looks whether all charts stand, and says so in
// data-probe: "ok", or what is wrong.
setTimeout(async () => {
  const wrong = [], rest = () => new Promise((done) => setTimeout(done, 60));
  const charts = () => document.querySelectorAll("[data-chart]");
  const check = (when) => charts().forEach((chart) => {
    if (!(Number(chart.dataset.drawn) > 0)) { wrong.push(`${when}: ${chart.dataset.chart} is not drawn`); }
    if (chart.querySelector("svg") && /NaN|undefined|Infinity/.test(chart.innerHTML)) { wrong.push(`${when}: NaN in ${chart.dataset.chart}`); }
  });
  const point = (svg, x) => {
    const box = svg.getBoundingClientRect();
    svg.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + x * box.width, clientY: box.top + 30 }));
  };
  check("at first");
  if (document.documentElement.scrollWidth > window.innerWidth) { wrong.push(`wider than the window: ${document.documentElement.scrollWidth}`); }
  for (const chart of charts()) {
    const svg = chart.querySelector("svg[role=img]");
    if (!svg) { continue; }
    point(svg, 0.6);
    const tip = chart.querySelector(".tip");
    if (!tip || tip.hidden || !/\d/.test(tip.textContent)) { wrong.push(`${chart.dataset.chart}: no value under the pointer`); }
    svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", cancelable: true }));
    svg.dispatchEvent(new PointerEvent("pointerleave"));
    if (tip && !tip.hidden) { wrong.push(`${chart.dataset.chart}: the values stay`); }
  }
  for (const select of document.querySelectorAll("select")) {
    for (const option of [...select.options].reverse()) {
      select.value = option.value;
      select.dispatchEvent(new Event("change"));
      await rest();
      check(`${select.getAttribute("aria-label")} ${option.value}`);
    }
  }
  for (const button of document.querySelectorAll(".tools button, .theme")) {
    for (let twice = 0; twice < 2; twice++) { button.click(); await rest(); check(`${button.textContent} pressed`); }
  }
  for (const button of document.querySelectorAll(".legend button")) {
    const chart = button.closest("[data-chart]"), before = chart.querySelector("svg[role=img]").innerHTML;
    button.click();
    if (chart.querySelector("svg[role=img]").innerHTML === before) { wrong.push(`${chart.dataset.chart}: ${button.textContent} does not go`); }
    button.click();
  }
  check("at last");
  if (document.querySelector("b > u, td > u, pre b, script:not([type]) ~ i")) { wrong.push("text became markup"); }
  if (document.documentElement.dataset.errors !== "0") { wrong.push(`${document.documentElement.dataset.errors} errors`); }
  document.documentElement.dataset.probe = wrong.length ? [...new Set(wrong)].slice(0, 12).join("; ") : "ok";
}, 500);
