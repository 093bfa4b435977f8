"use strict";
// What all pages with plots share: charts in the page's colours, on the screen and on paper.

const charts = [];

// A colour, or the name of one of the page's: "--quiet" is another one in the dark, and on paper.
function findColor(color) {
  return color.startsWith("--") ? getComputedStyle(document.documentElement).getPropertyValue(color).trim() : color;
}

function makeAxis({ title = "", ticks = {}, ...scale }) {
  const color = () => findColor("--quiet");
  return { grid: { color: () => findColor("--line") }, ticks: { color, ...ticks }, title: { display: Boolean(title), color, text: title }, ...scale };
}

// An axis whose values 0, 1, 2 … have names.
function makeLevels(names, ticks = {}) {
  return {
    afterBuildTicks: (scale) => { scale.ticks = names.map((_, value) => ({ value })); },
    ticks: { callback: (value) => names[value] ?? "", ...ticks },
  };
}

function makeChart(canvas, { x = {}, y = {}, tell, open = null, ...options }) {
  const chart = new Chart(canvas, {
    type: "scatter",
    data: { datasets: [] },
    options: {
      animation: false,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      interaction: { mode: "nearest", intersect: true },
      onClick: (_event, hits) => open && hits.length && open(hits[0].element.$context.raw),
      plugins: {
        legend: { display: false },
        tooltip: { callbacks: { title: () => "", label: (item) => tell(item.raw) } },
      },
      scales: { x: makeAxis(x), y: makeAxis(y) },
      ...options,
    },
  });
  charts.push(chart);
  return chart;
}

// One look for all points of a dataset, and no functions in it: Chart.js would ask them for every point.
function paint(dataset) {
  dataset.backgroundColor = findColor(dataset.ink);
  dataset.borderColor = findColor(dataset.outline);
  return dataset;
}

function makeDots(points, color) {
  return paint({
    data: points,
    pointRadius: points.length > 2000 ? 1.5 : 3,
    pointHoverRadius: 6,
    ink: color,
    // The colour of a structure may be that of the paper.
    outline: "--quiet",
    borderWidth: points.length > 2000 ? 0.4 : 0.75,
  });
}

function makeOutliers(points) {
  return { ...makeDots(points, "--failed"), pointRadius: 5, pointHoverRadius: 7, pointStyle: "triangle" };
}

function makeLine(points, { color = "--quiet", width = 1, dash = [] } = {}) {
  return paint({
    type: "line", parsing: true, data: points, pointRadius: 0, pointHitRadius: 0, pointHoverRadius: 0, spanGaps: false,
    ink: color, outline: color, borderDash: dash, borderWidth: width,
  });
}

function redrawCharts() {
  for (const chart of charts) {
    chart.data.datasets.forEach(paint);
    chart.update("none");
  }
}

for (const medium of ["print", "(prefers-color-scheme: dark)"]) matchMedia(medium).addEventListener("change", redrawCharts);
