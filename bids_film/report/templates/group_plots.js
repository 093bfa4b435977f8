"use strict";
// Plots of the scans that the filters of the table show.

const MOST_DOTS = 3000;
const MOST_LEVELS = 60;

// A place beside the middle that is the same each time the page is opened.
const jitter = (id) => (((id * 2654435761) % 1000) / 1000 - 0.5) * 0.7;

function openScan({ id }) {
  const row = rows[id];
  if (byId("panel").hidden && row.link) window.open(hrefOf(row), "_blank", "noopener");
  else choose(row);
}

const nameScan = ({ id }) => get(rows[id], "scan");

function makeScanChart(id, { tell, ...axes }) {
  return makeChart(byId(id), { ...axes, tell: (point) => `${nameScan(point)}: ${tell(point)}`, open: openScan });
}

const LONGEST_TICK = 16;
const isShort = content.structures.every(({ name }) => name.length <= LONGEST_TICK);
const ticks = content.structures.map(({ name, key }) => (isShort ? name : key));
const ends = [-0.6, content.structures.length - 0.4];

// A strip per structure, one below the other: the height follows their number.
byId("strip").parentElement.style.height = `${Math.max(340, 70 + 20 * content.structures.length)}px`;
const strip = makeScanChart("strip", {
  tell: (point) => `${content.structures[point.place].name}, z ${point.x}`,
  x: { title: "robust z" },
  y: {
    min: ends[0],
    max: ends[1],
    reverse: true,
    ...makeLevels(ticks, { autoSkip: false }),
  },
});
const scatter = makeScanChart("scatter", { y: { title: "mL" }, tell: (point) => `${point.y} mL, ${point.told}` });

// Of very many dots the middle ones cover each other: outliers are all drawn.
function thin(known, most, zOf) {
  const share = Math.max(1, Math.ceil(known.length / most));
  return known.filter((row, number) => number % share === 0 || isFar(zOf(row)));
}

function divide(points, color) {
  const [far, near] = [points.filter((point) => point.far), points.filter((point) => !point.far)];
  return [makeDots(near, color), makeOutliers(far)];
}

function drawStrip(shown) {
  const pairs = content.structures.map((structure, place) => {
    const zOf = (row) => get(row, `${structure.key}_robust_z`);
    const known = thin(shown.filter((row) => zOf(row) !== null), MOST_DOTS / content.structures.length, zOf);
    const points = known.map((row) => ({ x: zOf(row), y: place + jitter(row.id), id: row.id, place, far: isFar(zOf(row)) }));
    return divide(points, structure.color);
  });
  const limits = [content.far, -content.far].map((x) => makeLine(ends.map((y) => ({ x, y })), { dash: [5, 4] }));
  strip.data.datasets = [...pairs.flat(), ...limits];
  strip.update();
  return pairs.flat().some(({ data }) => data.length);
}

function drawScatter(shown) {
  const structure = content.structures[byId("structure").value];
  if (!structure) return;
  const over = byId("over").value;
  const volumeOf = (row) => get(row, `${structure.key}_volume_ml`);
  const zOf = (row) => get(row, `${structure.key}_robust_z`);
  const known = shown.filter((row) => volumeOf(row) !== null && (!over || get(row, over) !== null));
  const isLevel = !over || !columnOf[over].numeric;
  const levels = over && isLevel ? [...new Set(known.map((row) => String(get(row, over))))].sort(alike) : [""];
  const points = thin(known, MOST_DOTS, zOf).map((row) => {
    const value = over ? get(row, over) : "";
    const x = isLevel ? levels.indexOf(String(value)) + jitter(row.id) : value;
    return { x, y: volumeOf(row), id: row.id, far: isFar(zOf(row)), told: over ? `${columnOf[over].title} ${value}` : "" };
  });
  scatter.data.datasets = divide(points, structure.color);
  const { x } = scatter.options.scales;
  x.min = isLevel ? -0.6 : undefined;
  x.max = isLevel ? levels.length - 0.4 : undefined;
  x.ticks.stepSize = isLevel ? Math.ceil(levels.length / 24) : undefined;
  x.ticks.callback = isLevel ? (value) => levels[value] ?? "" : undefined;
  x.title = { ...x.title, display: true, text: over ? columnOf[over].title : "all scans" };
  scatter.update();
}

function drawPlots() {
  const shown = shownRows();
  drawScatter(shown);
  const any = drawStrip(shown);
  const part = shown.length > MOST_DOTS ? ": every outlier, and a part of the other dots" : "";
  byId("plotted").textContent = any
    ? `Both plots show what the filters of the table show${part}.`
    : "Robust z needs at least 8 scans whose volumes differ.";
}

function fillChoices() {
  const add = (id, value, text) => byId(id).append(new Option(text, value));
  content.structures.forEach((structure, place) => add("structure", place, structure.name));
  add("over", "", "all scans");
  for (const column of content.columns) {
    if (["scan", "concerns", "notes", "reason"].includes(column.key)) continue;
    const isGroup = () => {
      const { size } = new Set(rows.map((row) => get(row, column.key)));
      return size > 1 && size <= MOST_LEVELS;
    };
    if (column.numeric || isGroup()) add("over", column.key, column.title);
  }
}

// --- comparison with another run

function tabulate(structure, points) {
  const mean = points.reduce((sum, point) => sum + point.y, 0) / points.length;
  const spread = Math.sqrt(points.reduce((sum, point) => sum + (point.y - mean) ** 2, 0) / Math.max(1, points.length - 1));
  const largest = points.reduce((one, other) => (Math.abs(other.y) > Math.abs(one.y) ? other : one));
  const limits = [mean - 1.96 * spread, mean + 1.96 * spread].map((value) => value.toFixed(3));
  const line = byId("agreement").tBodies[0].insertRow();
  const cells = [structure.name, points.length, mean.toFixed(3), limits.join(" to "),
    `${largest.y.toFixed(3)} mL: ${nameScan(largest)}`];
  cells.forEach((text, place) => {
    const cell = line.insertCell();
    cell.textContent = text;
    if (place > 0 && place < 4) cell.className = "number";
  });
}

function drawComparison() {
  const idOf = new Map(rows.map((row) => [get(row, "scan"), row.id]));
  const chart = makeScanChart("comparison", {
    x: { title: "mean of both, mL" },
    y: { title: "difference, mL" },
    tell: (point) => `${point.y.toFixed(3)} mL`,
  });
  for (const structure of content.structures) {
    const points = content.compared
      .filter(([, key]) => key === structure.key)
      .map(([scan, , before, after]) => ({ x: (before + after) / 2, y: after - before, id: idOf.get(scan) }));
    if (!points.length) continue;
    chart.data.datasets.push(makeDots(points, structure.color));
    tabulate(structure, points);
  }
  chart.update();
}
