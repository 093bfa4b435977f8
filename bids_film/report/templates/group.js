"use strict";
// Review panel with its keys, and what happens when.

let current = null;

function choose(row, { scroll = true } = {}) {
  current = row;
  byId("current").textContent = get(row, "scan") ?? get(row, "participant_id");
  byId("note").value = row.note;
  byId("open").hidden = !row.link;
  if (row.link) {
    byId("open").href = hrefOf(row);
    // Only while it is looked at: a report is a megabyte.
    if (!byId("panel").hidden) byId("preview").src = hrefOf(row);
  }
  for (const button of document.querySelectorAll("[data-decision]")) {
    button.setAttribute("aria-pressed", String(button.dataset.decision === row.decision));
  }
  table.deselectRow();
  table.selectRow(row.id);
  if (scroll) table.scrollToRow(row.id, "center", false).catch(() => {});
}

function step(by) {
  const shown = table.getRows("active").map((row) => row.getData()).filter((row) => get(row, "scan"));
  if (!shown.length) return;
  const at = current ? shown.findIndex((row) => row.id === current.id) : -1;
  choose(rows[shown[Math.min(shown.length - 1, Math.max(0, at < 0 ? 0 : at + by))].id]);
}

function decide(decision) {
  if (!current || !get(current, "scan")) return;
  current.decision = decision;
  keep();
  if (decision) step(1);
}

function keep() {
  review.save([current]);
  table.updateData([{ id: current.id, decision: current.decision, note: current.note }]);
}

function toggleReview(open) {
  byId("panel").hidden = !open;
  byId("review").setAttribute("aria-expanded", String(open));
  if (open) current ? choose(current) : step(0);
}

const KEYS = {
  a: () => decide("accept"),
  r: () => decide("reject"),
  u: () => decide(""),
  n: () => byId("note").focus(),
  j: () => step(1),
  k: () => step(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("panel").hidden) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape" || (event.key === "Enter" && event.target.id === "note")) event.target.blur();
    return;
  }
  if (event.key === "Enter" && current?.link && !event.target.matches("a, button")) {
    window.open(hrefOf(current), "_blank", "noopener");
  } else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

// The report in the preview sends on the keys that it has no use for.
window.addEventListener("message", (event) => {
  if (event.source === byId("preview").contentWindow && !byId("panel").hidden) KEYS[event.data?.reviewKey]?.();
});

// --- start

const shownRows = () => table.getRows("active").map((row) => rows[row.getData().id]);
let planned = 0;

// After the table is on the screen: plots of many dots take longer than it does.
function planPlots() {
  byId("count").textContent = `${table.getDataCount("active")} of ${rows.length}`;
  clearTimeout(planned);
  planned = setTimeout(drawPlots, 30);
}

review.load();
review.tell();
fillChoices();
// In the script that waits for it: it builds itself as soon as the browser has a moment.
const table = makeTable();
table.on("tableBuilt", () => {
  table.on("dataFiltered", () => requestAnimationFrame(planPlots));
  table.on("rowClick", (event, row) => {
    if (!event.target.closest("a")) choose(rows[row.getData().id], { scroll: false });
  });
  planPlots();
});
let typing = 0;
byId("find").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => table.setFilter(wanted), 150);
});
byId("show").addEventListener("change", () => table.setFilter(wanted));
byId("columns").addEventListener("change", (event) => changeColumns(event.target.value));
for (const id of ["structure", "over"]) byId(id).addEventListener("change", () => drawScatter(shownRows()));
byId("review").addEventListener("click", () => toggleReview(byId("panel").hidden));
byId("note").addEventListener("change", () => {
  if (!current) return;
  current.note = byId("note").value.trim();
  keep();
});
for (const button of document.querySelectorAll("[data-decision]")) {
  button.addEventListener("click", () => decide(button.dataset.decision));
}
for (const button of document.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => step(Number(button.dataset.step)));
}
byId("export-tsv").addEventListener("click", exportTsv);
byId("export-json").addEventListener("click", () => download("review.json", `${JSON.stringify(review.list(), null, 2)}\n`, "application/json"));
byId("import").addEventListener("change", (event) => event.target.files[0] && importDecisions(event.target.files[0]));
if (byId("comparison")) drawComparison();
