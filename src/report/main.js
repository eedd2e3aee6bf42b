// main.js - puts the page together from the data inside it.

let errors = 0;
window.addEventListener("error", () => { document.documentElement.dataset.errors = ++errors; });
document.documentElement.dataset.errors = 0;

function section(id, title, ...children) { return h("section", { id, "data-title": title }, h("h2", {}, title), children); }

// Light, dark, or as the system has it.
function themeButton() {
  const root = document.documentElement, dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  return h("button", { type: "button", class: "theme", title: "light or dark", click: () => { root.dataset.theme = isDark() ? "light" : "dark"; } },
    "light / dark");
}

function page() {
  const data = JSON.parse(document.getElementById("data").textContent), comparison = data.kind === "comparison";
  const run = data.runs[0], name = comparison ? data.name : run.name;
  const sections = (comparison ? comparisonSections(data) : runSections(run)).flat().filter(Boolean);
  document.getElementById("page").append(
    h("div", { class: "top" }, h("div", {}, h("p", { class: "kicker" }, `Tare ${data.tare} · ${data.kind}`), h("h1", {}, name)),
      themeButton()),
    ...[comparison ? comparisonHeadline(data) : runHeadline(run)].flat().filter(Boolean),
    h("nav", { "aria-label": "sections" }, sections.map((one) => h("a", { href: "#" + one.id }, one.dataset.title))),
    ...sections);
  drawWaiting();
}

// On paper nothing can be opened, and charts are drawn for its width.
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not([open]):not(.values)").forEach((d) => { d.open = true; d.dataset.print = ""; });
  document.documentElement.classList.add("paper");
  fitAll();
});
window.addEventListener("afterprint", () => {
  document.querySelectorAll("details[data-print]").forEach((d) => { d.open = false; delete d.dataset.print; });
  document.documentElement.classList.remove("paper");
  fitAll();
});

page();
