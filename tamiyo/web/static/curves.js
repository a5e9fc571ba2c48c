// Curves of a run, drawn by uPlot in place of the page's plain ones, and drawn on while the run goes on.
import { onTheme, theme } from "./plot.js";

const ASK_AGAIN_MS = 5000;
const HEIGHT = 210;
const BAND = "rgb(59 130 214 / 0.16)";
const root = document.querySelector("[data-curves]");
const told = document.querySelector("[data-curves-told]");
const definitions = JSON.parse(root.dataset.definitions);
const sync = uPlot.sync("generations");
let rows = [];
let charts = [];

const value = (row, field) => (Number.isFinite(row[field]) ? row[field] : null);
const dataOf = (curve) => [
  rows.map((row) => row.generation),
  ...curve.series.map((series) => rows.map((row) => value(row, series.field))),
];

/** Marks where each stage of the curriculum begins. */
function drawStages(chart) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.fillStyle = ctx.strokeStyle = theme().faint;
  ctx.font = `italic ${11 * devicePixelRatio}px ${getComputedStyle(root).fontFamily}`;
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  rows.forEach((row, place) => {
    if (!row.stage || (place && rows[place - 1].stage === row.stage)) return;
    const x = chart.valToPos(place ? row.generation - 0.5 : row.generation, "x", true);
    if (x < bbox.left - 1 || x > bbox.left + bbox.width) return;
    if (place) {
      ctx.beginPath();
      ctx.moveTo(x, bbox.top - 18 * devicePixelRatio);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.fillText(row.stage, x + (place ? 4 * devicePixelRatio : 0), bbox.top - 4 * devicePixelRatio);
  });
  ctx.restore();
}

function options(curve, width) {
  const colours = theme();
  const isFew = rows.length <= 40;
  const axis = {
    stroke: () => colours.faint,
    font: `12px ${getComputedStyle(root).fontFamily}`,
    grid: { stroke: colours.grid, width: 1 },
    ticks: { show: false },
  };
  const place = (field) => curve.series.findIndex((series) => series.field === field) + 1;
  const numbers = curve.series.map(
    (series) => (chart, shown) => (shown === null || shown === undefined ? "–" : shown.toPrecision(4).replace("-", "−")),
  );
  return {
    width,
    height: HEIGHT,
    padding: [20, 10, 0, 0],
    scales: {
      x: { time: false, range: (chart, low, high) => (low === high ? [low - 0.5, high + 0.5] : [low, high]) },
      y: { range: (chart, low, high) => limits(curve, low, high) },
    },
    axes: [
      { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000], size: 32 },
      { ...axis, size: 48 },
    ],
    series: [
      { label: "generation", value: (chart, shown) => shown ?? "–" },
      ...curve.series.map((series, number) => ({
        label: series.label,
        stroke: series.colour,
        width: series.is_dashed ? 1.2 : 2,
        dash: series.is_dashed ? [5, 3] : undefined,
        points: { show: isFew && !series.is_dashed, size: 5, fill: series.colour },
        value: numbers[number],
      })),
    ],
    bands: curve.band.length ? [{ series: curve.band.map(place), fill: BAND }] : [],
    cursor: { sync: { key: sync.key }, points: { size: 7 }, drag: { x: true, y: false } },
    legend: { live: true },
    hooks: { draw: [drawStages] },
  };
}

function limits(curve, low, high) {
  const [least, most] = [curve.low ?? low ?? 0, curve.high ?? high ?? 1];
  const room = (most - least || 1) * 0.05;
  return [curve.low === null ? least - room : least, curve.high === null ? most + room : most];
}

/** Draws everything anew, which a change of colours asks for; new rows only ask for new data. */
function draw() {
  for (const chart of charts) chart.destroy();
  charts = definitions.map((curve) => {
    const figure = root.querySelector(`[data-curve="${curve.name}"]`);
    const ground = figure.querySelector(".drawn");
    ground.replaceChildren();
    figure.querySelector(".lines").hidden = true;
    return new uPlot(options(curve, ground.clientWidth), dataOf(curve), ground);
  });
}

async function ask() {
  try {
    const after = rows.length ? `?after=${rows.at(-1).generation}` : "";
    const response = await fetch(root.dataset.curves + after, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(response.statusText);
    const found = (await response.json()).rows;
    const isFirst = !rows.length;
    rows = rows.concat(found);
    if (isFirst && rows.length) draw();
    else if (found.length) charts.forEach((chart, place) => chart.setData(dataOf(definitions[place])));
    const last = rows.at(-1);
    if (last) told.textContent = `Generation ${last.generation}${found.length && !isFirst ? ", just now" : ""}; drag to zoom, double-click for all.`;
  } catch {
    told.textContent = "The server does not answer; the curves are as they were.";
  }
}

onTheme(() => rows.length && draw());
new ResizeObserver(() => {
  charts.forEach((chart) => {
    const width = chart.root.parentElement.clientWidth;
    if (width && width !== chart.width) chart.setSize({ width, height: HEIGHT });
  });
}).observe(root);
await ask();
setInterval(() => document.hidden || ask(), ASK_AGAIN_MS);
