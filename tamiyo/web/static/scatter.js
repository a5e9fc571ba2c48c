// Score against what it costs: every blueprint a point, the front a line. The numbers are the page's JSON twin.
import { Plot, short } from "./plot.js";
import { fetched, looks, shownIn } from "./shown.js";

const root = document.querySelector("[data-scatter]");
const status = root.querySelector("[data-status]");
const axes = {
  num_parameters: { title: "parameters (log)", unit: "parameters" },
  latency_us: { title: "predicted latency, µs (log)", unit: "µs" },
};
const chosen = () => ({
  cost: root.querySelector("[name=cost]:checked").value,
  value: root.querySelector("[name=value]:checked").value,
  families: new Set([...root.querySelectorAll("[name=family]:checked")].map((box) => box.value)),
});

let front = [];
const look = looks(root);
const show = shownIn(root.querySelector("[data-shown]"));
const plot = new Plot(root.querySelector(".plot"), {
  x: { title: axes.num_parameters.title, isLog: true },
  y: { title: "score" },
  under(context, to, colours) {
    if (!front.length) return;
    context.beginPath();
    for (const [place, point] of front.entries()) {
      const [x, y] = to(point.x, point.y);
      if (place) context.lineTo(x, to(point.x, front[place - 1].y)[1]);
      context[place ? "lineTo" : "moveTo"](x, y);
    }
    context.strokeStyle = colours.ink;
    context.lineWidth = 1.4;
    context.stroke();
  },
  onFocus: (point) => show(point?.id),
});

/** The points that no other beats in the two numbers that are shown, cheapest first. */
function frontOf(points) {
  let best = -Infinity;
  return [...points]
    .sort((a, b) => a.x - b.x || b.y - a.y)
    .filter((point) => point.y > best && ((best = point.y), true));
}

function draw(rows) {
  const { cost, value, families } = chosen();
  const points = rows
    .filter((row) => row[cost] !== null && row[value] !== null && families.has(row.family))
    .map((row) => ({
      id: row.id,
      x: Math.max(row[cost], cost === "num_parameters" ? 1 : 0.01),
      y: row[value],
      ...look(row.family),
      size: row.status === "entrant" ? 5.5 : 4,
      href: `/blueprints/${row.id}`,
      title: `${row.id.slice(0, 12)} · ${value} ${row[value].toFixed(3)} · ${short(row[cost])} ${axes[cost].unit} · ${row.family}`,
    }));
  front = frontOf(points);
  const onFront = new Set(front);
  for (const point of points) {
    point.isRing = onFront.has(point);
    if (!point.isRing) point.alpha = 0.72;
  }
  points.sort((a, b) => a.isRing - b.isRing); // the front on top
  plot.set(points, { x: { title: axes[cost].title, isLog: true }, y: { title: value } });
  root.querySelector("[data-count]").textContent = `${points.length.toLocaleString("en")} points, ${front.length} on the front of the two`;
}

fetched(root.dataset.scatter, status, (body) => {
  draw(body.points);
  root.addEventListener("change", () => draw(body.points));
});
