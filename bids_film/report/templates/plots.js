"use strict";
// Plots of an evaluation: dots that say which scan they are, and lines.

const KINDS = {
  zero: { color: "--line" },
  mean: { color: "--ink", width: 2 },
  limit: { dash: [4, 3] },
  up: { color: "--passed" },
  down: { color: "--failed", dash: [5, 2] },
};

function describeAxis({ title, low, high, levels }) {
  const named = levels.length ? makeLevels(levels) : {};
  return { title, min: low ?? undefined, max: high ?? undefined, grace: "6%", ...named };
}

// Lines of a kind are one line with gaps: of many scans there would be as many datasets.
function joinLines(lines, kind) {
  const gap = { x: NaN, y: NaN };
  const own = lines.filter((line) => line.kind === kind);
  return makeLine(own.flatMap(({ points }) => [...points.map(([x, y]) => ({ x, y })), gap]), KINDS[kind]);
}

JSON.parse(document.getElementById("content").textContent).forEach(({ x, y, dots, lines }, place) => {
  const chart = makeChart(document.getElementById(`chart-${place}`), {
    x: describeAxis(x), y: describeAxis(y), tell: ({ title }) => title,
  });
  const kinds = Object.keys(KINDS).filter((kind) => lines.some((line) => line.kind === kind));
  chart.data.datasets = [makeDots(dots, "--link"), ...kinds.map((kind) => joinLines(lines, kind))];
  chart.update();
});
