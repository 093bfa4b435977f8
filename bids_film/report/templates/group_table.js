"use strict";
// Rows and columns of the page, and the table of all scans. Cells are written as text, never as markup.

const content = JSON.parse(document.getElementById("content").textContent);
const byId = (id) => document.getElementById(id);
const MOST_LETTERS = 52;
const LONGEST_VERDICT = 16;
const SAMPLED = 400;

const rows = content.rows.map((cells, id) => ({ id, cells, link: content.links[id], decision: "", note: "" }));
const placeOf = Object.fromEntries(content.columns.map((column, place) => [column.key, place]));
const fieldOf = Object.fromEntries(content.columns.map((column, place) => [column.key, `cells.${place}`]));
const columnOf = Object.fromEntries(content.columns.map((column) => [column.key, column]));
const get = (row, key) => row.cells[placeOf[key]];
const isFar = (z) => Math.abs(z ?? 0) > content.far;

function asText(text, className = "") {
  const span = document.createElement("span");
  span.textContent = text ?? "";
  span.className = className;
  return span;
}

function hrefOf(row) {
  const [page, anchor] = row.link.split("#");
  return encodeURIComponent(page) + (anchor ? `#${encodeURIComponent(anchor)}` : "");
}

function linkTo(row, text) {
  const link = document.createElement("a");
  Object.assign(link, { href: hrefOf(row), textContent: text, target: "_blank", rel: "noopener" });
  return link;
}

const VERDICTS = {
  passed: () => asText("● passed", "good"),
  look: (row) => asText(`▲ ${get(row, "n_concerns")} to look at`, "far"),
  failed: () => asText("■ do not use", "bad"),
};

function formatCell(cell, { key, kind }) {
  const value = cell.getValue();
  const row = cell.getData();
  if (key === "verdict" && get(row, "status") === "failed") return asText("■ failed", "bad");
  if (key === "scan" && value === null) return asText(get(row, "participant_id"));
  if (value === null || value === undefined || value === "") return "";
  if (key === "scan" && row.link) return linkTo(row, value);
  if (key === "verdict") return VERDICTS[value](row);
  if ((kind === "z" || key === "farthest_robust_z") && isFar(value)) return asText(`▲ ${value}`, "far");
  if (key === "status" && value === "failed") return asText("■ failed", "bad");
  if (key === "status" && value !== "done") return asText(`○ ${value}`);
  return asText(value);
}

const alike = new Intl.Collator(undefined, { numeric: true }).compare;
const SEVERITY = { passed: 1, look: 2, failed: 3 };
// A scan that failed is worse than any that has a label map; one that was not tried is none.
const severity = (row) => get(row, "status") === "failed" ? Infinity
  : (SEVERITY[get(row, "verdict")] ?? 0) * 1000 + (get(row, "n_concerns") ?? 0);

function compareCells(one, other, first, second, column, direction) {
  if (column.getField() === fieldOf.verdict) {
    const [own, others] = [severity(first.getData()), severity(second.getData())];
    return own === others ? 0 : own - others;
  }
  // What is not known comes last, whichever way the rest is sorted.
  const missing = (value) => value === null || value === undefined || value === "";
  if (missing(one) || missing(other)) {
    if (missing(one) && missing(other)) return 0;
    return (missing(one) ? 1 : -1) * (direction === "asc" ? 1 : -1);
  }
  if (typeof one === "number" && typeof other === "number") return one - other;
  return alike(one, other);
}

// "> 3", "<=0.8" and "3" for numbers, part of a text otherwise.
function filterCell(wanted, value) {
  const asked = /^\s*(<=|>=|<|>|=)\s*(-?[\d.]+)\s*$/.exec(wanted);
  if (!asked) return String(value ?? "").toLowerCase().includes(wanted.toLowerCase());
  if (typeof value !== "number") return false;
  const number = Number(asked[2]);
  return { "<": value < number, ">": value > number, "<=": value <= number, ">=": value >= number, "=": value === number }[asked[1]];
}

// Explicit, from a part of the rows: what Tabulator measures itself takes a second per thousand rows.
function findWidth({ key, title }, place) {
  const every = Math.ceil(rows.length / SAMPLED);
  let letters = Math.max(title.length + 4, key === "verdict" ? LONGEST_VERDICT : 0);
  for (let id = 0; id < rows.length; id += every) letters = Math.max(letters, String(rows[id].cells[place] ?? "").length);
  return Math.round(7.4 * Math.min(letters, MOST_LETTERS) + 26);
}

function defineColumn(column) {
  const place = placeOf[column.key];
  return {
    field: fieldOf[column.key],
    title: column.title,
    titleFormatter: () => asText(column.title),
    headerTooltip: () => asText(column.description),
    formatter: formatCell,
    formatterParams: column,
    sorter: compareCells,
    headerSortStartingDir: column.key === "verdict" ? "desc" : "asc",
    headerFilter: "input",
    headerFilterFunc: filterCell,
    headerFilterPlaceholder: column.numeric ? "> 3" : "",
    hozAlign: column.numeric ? "right" : "left",
    tooltip: column.kind === "main",
    width: findWidth(column, place),
  };
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
  width: 104,
};

function chooseColumns(wanted) {
  const always = ["scan", "verdict"];
  const chosen = content.columns.filter(({ key, kind }) => wanted === "all" || always.includes(key) || kind.split(" ").includes(wanted));
  return [decisionColumn, ...chosen.map(defineColumn)];
}

function makeTable() {
  return new Tabulator("#table", {
    data: rows,
    columns: chooseColumns(byId("columns").value),
    maxHeight: 520,
    minHeight: 130,
    layout: "fitData",
    selectableRows: 1,
    selectableRowsPersistence: true,
    columnDefaults: { headerHozAlign: "left" },
    placeholder: "No scan fits the filters",
  });
}

function changeColumns(wanted) {
  const filters = table.getHeaderFilters();
  const sorters = table.getSorters().map(({ field, dir }) => ({ column: field, dir }));
  const columns = chooseColumns(wanted);
  const stays = new Set(columns.map(({ field }) => field));
  table.setColumns(columns);
  for (const { field, value } of filters.filter((one) => stays.has(one.field))) table.setHeaderFilterValue(field, value);
  table.setSort(sorters.filter(({ column }) => stays.has(column)));
}

const searchText = [];

function findText(row, text) {
  searchText[row.id] ??= row.cells.filter((cell) => typeof cell === "string").join("\n").toLowerCase();
  return searchText[row.id].includes(text);
}

function wanted(row) {
  const text = byId("find").value.trim().toLowerCase();
  if (text && !findText(row, text)) return false;
  const done = get(row, "status") === "done";
  switch (byId("show").value) {
    case "look": return get(row, "n_concerns") > 0 || isFar(get(row, "farthest_robust_z"));
    case "red": return get(row, "verdict") === "failed";
    case "left-out": return !done;
    case "undecided": return done && !row.decision;
    case "reject": return row.decision === "reject";
    default: return true;
  }
}
