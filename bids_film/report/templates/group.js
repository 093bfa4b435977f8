"use strict";
// Table, plots and review of all scans. Cells are written as text, never as markup.

const content = JSON.parse(document.getElementById("content").textContent);
const byId = (id) => document.getElementById(id);
const STORE = `bids-film review: ${content.store || location.pathname}`;
const MOST_DOTS = 3000;
const MAIN = new Set(["participant_id", "scan", "status", "lowest_expected_dice", "farthest_robust_z", "n_flags", "flags", "reason"]);

const rows = content.rows.map((cells, id) => {
  const row = { id, link: content.links[id], decision: "", note: "" };
  content.columns.forEach((column, place) => { row[`c${place}`] = cells[place]; });
  return row;
});
const fieldOf = Object.fromEntries(content.columns.map((column, place) => [column.key, `c${place}`]));
const get = (row, key) => row[fieldOf[key]];
const isNumeric = (field) => {
  const known = rows.map((row) => row[field]).filter((value) => value !== null);
  return known.length > 0 && known.every((value) => typeof value === "number");
};
const numeric = Object.fromEntries(content.columns.map((column, place) => [column.key, isNumeric(`c${place}`)]));

// --- review: decisions by scan, kept in this browser

const review = {
  decisions: {},
  kept: true,
  load() {
    try {
      this.decisions = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    } catch {
      this.kept = false;
    }
    for (const row of rows) Object.assign(row, this.decisions[get(row, "scan")] ?? {});
  },
  save(row) {
    const scan = get(row, "scan");
    if (row.decision || row.note) {
      this.decisions[scan] = { decision: row.decision, note: row.note, date: new Date().toISOString().slice(0, 19) };
    } else {
      delete this.decisions[scan];
    }
    try {
      localStorage.setItem(STORE, JSON.stringify(this.decisions));
    } catch {
      this.kept = false;
    }
    this.tell();
  },
  list() {
    return Object.entries(this.decisions).map(([scan, entry]) => ({ scan, ...entry }));
  },
  tell() {
    const made = Object.values(this.decisions).map((entry) => entry.decision);
    const count = (decision) => made.filter((one) => one === decision).length;
    byId("tally").textContent = `${count("accept")} accepted, ${count("reject")} rejected`
      + (this.kept ? "" : ". This browser keeps nothing: export before you close the page");
  },
};

function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function exportTsv() {
  const plain = (text) => String(text || "n/a").replace(/\s+/g, " ").trim() || "n/a";
  const lines = review.list().map((line) =>
    [line.scan, line.decision || "undecided", line.note, line.date].map(plain).join("\t"));
  download("review.tsv", `${["scan\tdecision\tnote\tdate", ...lines].join("\n")}\n`, "text/tab-separated-values");
}

function readDecisions(text, name) {
  if (name.endsWith(".json")) return JSON.parse(text);
  const [header, ...lines] = text.split(/\r?\n/).filter(Boolean).map((line) => line.split("\t"));
  return lines.map((cells) => Object.fromEntries(header.map((key, place) => [key, cells[place]])));
}

async function importDecisions(file) {
  try {
    const found = new Map(readDecisions(await file.text(), file.name).map((line) => [line.scan, line]));
    for (const row of rows) {
      const line = found.get(get(row, "scan"));
      if (!line) continue;
      row.decision = ["accept", "reject"].includes(line.decision) ? line.decision : "";
      row.note = line.note && line.note !== "n/a" ? String(line.note) : "";
      review.save(row);
    }
    table.updateData(rows.map(({ id, decision, note }) => ({ id, decision, note })));
  } catch (error) {
    byId("tally").textContent = `${file.name} cannot be read: ${error.message}`;
  }
}

// --- table

function asText(text, className = "") {
  const span = document.createElement("span");
  span.textContent = text ?? "";
  span.className = className;
  return span;
}

function formatCell(cell, { key }) {
  const value = cell.getValue();
  if (value === null || value === undefined || value === "") return "";
  if (key === "scan" && cell.getData().link) {
    const link = document.createElement("a");
    link.href = hrefOf(cell.getData());
    link.textContent = value;
    link.target = "_blank";
    link.rel = "noopener";
    return link;
  }
  const far = key.endsWith("robust_z") && Math.abs(value) > content.far;
  if (far) return asText(`▲ ${value}`, "far");
  if (value === "failed" && key === "status") return asText("■ failed", "bad");
  if (value !== "done" && key === "status") return asText(`○ ${value}`);
  return asText(value);
}

function hrefOf(row) {
  const [page, anchor] = row.link.split("#");
  return encodeURIComponent(page) + (anchor ? `#${encodeURIComponent(anchor)}` : "");
}

function compareCells(one, other, _a, _b, _column, direction) {
  // What is not known comes last, whichever way the rest is sorted.
  const missing = (value) => value === null || value === undefined || value === "";
  if (missing(one) || missing(other)) {
    if (missing(one) && missing(other)) return 0;
    return (missing(one) ? 1 : -1) * (direction === "asc" ? 1 : -1);
  }
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

// "> 3", "<=0.8" and "3" for numbers, part of a text otherwise.
function filterCell(wanted, value) {
  const asked = /^\s*(<=|>=|<|>|=)\s*(-?[\d.]+)\s*$/.exec(wanted);
  if (!asked) return String(value ?? "").toLowerCase().includes(wanted.toLowerCase());
  if (typeof value !== "number") return false;
  const number = Number(asked[2]);
  return { "<": value < number, ">": value > number, "<=": value <= number, ">=": value >= number, "=": value === number }[asked[1]];
}

function defineColumn(column, place) {
  return {
    field: `c${place}`,
    title: column.title,
    titleFormatter: () => asText(column.title),
    headerTooltip: () => asText(column.description),
    formatter: formatCell,
    formatterParams: { key: column.key },
    sorter: compareCells,
    headerFilter: "input",
    headerFilterFunc: filterCell,
    headerFilterPlaceholder: numeric[column.key] ? "> 3" : "",
    hozAlign: numeric[column.key] ? "right" : "left",
    visible: isMain(column.key),
    minWidth: 90,
    maxWidth: 420,
  };
}

function isMain(key) {
  return MAIN.has(key) || key.endsWith("_volume_ml");
}

const decisionColumn = {
  field: "decision",
  title: "review",
  titleFormatter: () => asText("review"),
  formatter: (cell) => {
    const value = cell.getValue();
    const words = { accept: ["● accept", "good"], reject: ["■ reject", "bad"] };
    const note = cell.getData().note ? " ✎" : "";
    return words[value] ? asText(words[value][0] + note, words[value][1]) : asText(note);
  },
  headerFilter: "input",
  minWidth: 96,
};

// Widths of columns that Tabulator measures on all rows of a large table take seconds.
const table = new Tabulator("#table", {
  data: rows,
  columns: [decisionColumn, ...content.columns.map(defineColumn)],
  height: rows.length > 12 ? 520 : undefined,
  layout: "fitDataFill",
  selectableRows: 1,
  selectableRowsPersistence: true,
  columnDefaults: { headerHozAlign: "left" },
  placeholder: "No scan fits the filters",
});

function wanted(row) {
  const text = byId("find").value.trim().toLowerCase();
  if (text && !searchText[row.id].includes(text)) return false;
  const done = get(row, "status") === "done";
  switch (byId("show").value) {
    case "look":
      return get(row, "n_flags") > 0 || Math.abs(get(row, "farthest_robust_z") ?? 0) > content.far;
    case "left-out": return !done;
    case "undecided": return done && !row.decision;
    case "reject": return row.decision === "reject";
    default: return true;
  }
}
const searchText = content.rows.map((cells) => cells.filter((cell) => typeof cell === "string").join("\n").toLowerCase());

// --- review panel

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
  review.save(current);
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

// --- plots

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A place beside the middle that is the same each time the page is opened.
const jitter = (id) => (((id * 2654435761) % 1000) / 1000 - 0.5) * 0.7;

function makeChart(canvas, options) {
  const quiet = style("--quiet");
  const grid = { color: style("--line") };
  return new Chart(canvas, {
    type: "scatter",
    data: { datasets: [] },
    options: {
      animation: false,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      interaction: { mode: "nearest", intersect: true },
      onClick: (_event, hits, chart) => {
        if (!hits.length) return;
        const row = rows[chart.data.datasets[hits[0].datasetIndex].data[hits[0].index].id];
        if (byId("panel").hidden && row.link) window.open(hrefOf(row), "_blank", "noopener");
        else choose(row);
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          callbacks: {
            label: (item) => `${get(rows[item.raw.id], "scan")}: ${options.tell(item.raw)}`,
          },
        },
      },
      scales: {
        x: { grid, ticks: { color: quiet, ...options.x?.ticks }, title: { display: true, color: quiet, text: "" }, ...options.x?.scale },
        y: { grid, ticks: { color: quiet }, title: { display: true, color: quiet, text: options.y } },
      },
    },
  });
}

function makeDots(points, color) {
  return {
    data: points,
    pointRadius: points.length > 2000 ? 1.5 : 3,
    pointHoverRadius: 6,
    backgroundColor: points.map((point) => (point.far ? style("--failed") : color)),
    pointStyle: points.map((point) => (point.far ? "triangle" : "circle")),
    borderWidth: 0,
  };
}

function makeLine(y, first, last) {
  return {
    type: "line", data: [{ x: first, y }, { x: last, y }], pointRadius: 0, pointHitRadius: 0,
    borderColor: style("--quiet"), borderDash: [5, 4], borderWidth: 1,
  };
}

const strip = makeChart(byId("strip"), {
  y: "robust z",
  tell: (point) => `${content.structures[point.place].name}, z ${point.y}`,
  x: {
    ticks: { stepSize: 1, autoSkip: false, callback: (value) => content.structures[value]?.name ?? "" },
    scale: { min: -0.6, max: content.structures.length - 0.4 },
  },
});
const scatter = makeChart(byId("scatter"), { y: "mL", tell: (point) => `${point.y} mL, ${point.told}` });

// Of very many dots the middle ones cover each other: outliers are all drawn.
function thin(known, most, field) {
  const share = Math.max(1, Math.ceil(known.length / most));
  return known.filter((row, number) => number % share === 0 || Math.abs(get(row, field) ?? 0) > content.far);
}

function drawStrip(shown) {
  const datasets = content.structures.map((structure, place) => {
    const field = `${structure.key}_robust_z`;
    const known = shown.filter((row) => get(row, field) !== null);
    const points = thin(known, MOST_DOTS / content.structures.length, field)
      .map((row) => ({ x: place + jitter(row.id), y: get(row, field), id: row.id, place, far: Math.abs(get(row, field)) > content.far }));
    return makeDots(points, structure.color);
  });
  const ends = [-0.6, content.structures.length - 0.4];
  strip.data.datasets = [...datasets, makeLine(content.far, ...ends), makeLine(-content.far, ...ends)];
  strip.update();
  const empty = datasets.every((dataset) => dataset.data.length === 0);
  byId("plotted").textContent = empty
    ? "Robust z needs at least 8 scans whose volumes differ."
    : `Both plots show what the filters of the table show${
      shown.length > MOST_DOTS ? ": every outlier, and a part of the other dots" : ""}.`;
}

function drawScatter(shown) {
  const structure = content.structures[byId("structure").value];
  if (!structure) return;
  const over = byId("over").value;
  const volume = `${structure.key}_volume_ml`;
  const known = shown.filter((row) => get(row, volume) !== null && (!over || get(row, over) !== null));
  const levels = over && !numeric[over] ? [...new Set(known.map((row) => String(get(row, over))))].sort() : [""];
  const isLevel = !over || !numeric[over];
  const points = thin(known, MOST_DOTS, `${structure.key}_robust_z`).map((row) => {
    const value = over ? get(row, over) : "";
    const x = isLevel ? levels.indexOf(String(value)) + jitter(row.id) : value;
    const far = Math.abs(get(row, `${structure.key}_robust_z`) ?? 0) > content.far;
    return { x, y: get(row, volume), id: row.id, far, told: over ? `${titleOf(over)} ${value}` : "" };
  });
  scatter.data.datasets = [makeDots(points, structure.color)];
  const { x } = scatter.options.scales;
  x.min = isLevel ? -0.6 : undefined;
  x.max = isLevel ? levels.length - 0.4 : undefined;
  x.ticks.stepSize = isLevel ? Math.ceil(levels.length / 24) : undefined;
  x.ticks.callback = isLevel ? (value) => levels[value] ?? "" : undefined;
  x.title.text = over ? titleOf(over) : "all scans";
  scatter.update();
}

function titleOf(key) {
  return content.columns.find((column) => column.key === key).title;
}

let planned = 0;

function planPlots() {
  cancelAnimationFrame(planned);
  planned = requestAnimationFrame(drawPlots);
}

function drawPlots() {
  const shown = table.getRows("active").map((row) => rows[row.getData().id]);
  byId("count").textContent = `${shown.length} of ${rows.length}`;
  drawStrip(shown);
  drawScatter(shown);
}

function fillChoices() {
  const add = (id, value, text) => byId(id).append(new Option(text, value));
  content.structures.forEach((structure, place) => add("structure", place, structure.name));
  add("over", "", "all scans");
  for (const column of content.columns) {
    const values = new Set(rows.map((row) => get(row, column.key)));
    const tells = numeric[column.key] || (values.size > 1 && values.size <= 60);
    if (tells && !["scan", "flags", "reason"].includes(column.key)) add("over", column.key, column.title);
  }
}

// --- comparison with another run

function drawComparison() {
  const idOf = new Map(rows.map((row) => [get(row, "scan"), row.id]));
  const chart = makeChart(byId("comparison"), { y: "difference, mL", tell: (point) => `${point.y.toFixed(3)} mL` });
  chart.options.scales.x.title.text = "mean of both, mL";
  for (const structure of content.structures) {
    const points = content.compared
      .filter(([, key]) => key === structure.key)
      .map(([scan, , before, after]) => ({ x: (before + after) / 2, y: after - before, id: idOf.get(scan) }));
    if (!points.length) continue;
    chart.data.datasets.push(makeDots(points, structure.color));
    const mean = points.reduce((sum, point) => sum + point.y, 0) / points.length;
    const spread = Math.sqrt(points.reduce((sum, point) => sum + (point.y - mean) ** 2, 0) / Math.max(1, points.length - 1));
    const largest = points.reduce((one, other) => (Math.abs(other.y) > Math.abs(one.y) ? other : one));
    const limits = [mean - 1.96 * spread, mean + 1.96 * spread].map((value) => value.toFixed(3));
    const line = byId("agreement").tBodies[0].insertRow();
    const cells = [structure.name, points.length, mean.toFixed(3), limits.join(" to "),
      `${largest.y.toFixed(3)} mL: ${get(rows[largest.id], "scan")}`];
    cells.forEach((text, place) => {
      const cell = line.insertCell();
      cell.textContent = text;
      if (place > 0 && place < 4) cell.className = "number";
    });
  }
  chart.update();
}

// --- start

review.load();
review.tell();
fillChoices();
table.on("tableBuilt", () => {
  table.on("dataFiltered", planPlots);
  table.on("rowClick", (event, row) => {
    if (!event.target.closest("a")) choose(rows[row.getData().id], { scroll: false });
  });
  drawPlots();
});
let typing = 0;
byId("find").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => table.setFilter(wanted), 150);
});
byId("show").addEventListener("change", () => table.setFilter(wanted));
byId("columns").addEventListener("change", (event) => {
  const all = event.target.value === "all";
  table.blockRedraw();
  for (const column of content.columns) {
    if (all || isMain(column.key)) table.showColumn(fieldOf[column.key]);
    else table.hideColumn(fieldOf[column.key]);
  }
  table.restoreRedraw();
});
byId("structure").addEventListener("change", drawPlots);
byId("over").addEventListener("change", drawPlots);
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
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
