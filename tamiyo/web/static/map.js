// The map: blueprints that a network finds alike lie together; asks again while the server draws it.
import { Plot, mix } from "./plot.js";
import { answerOf, looks, shownIn } from "./shown.js";

const ASK_AGAIN_MS = 1500;
const AFTER_FAILURE_MS = 5000;
const LEAST = 0.22; // share of the accent in the colour of the lowest rewards
const root = document.querySelector("[data-map]");
const status = root.querySelector("[data-status]");
const progress = root.querySelector("progress");
const chosen = (name) => root.querySelector(`[name=${name}]:checked`).value;
const look = looks(root);
const ground = root.querySelector(".plot"); // a page that came before the map has none

let clusters = [];
let here = null; // the cluster that is pointed at in the list
const plot = ground && makePlot();

function makePlot() {
  const show = shownIn(root.querySelector("[data-shown]"));
  return new Plot(ground, {
    under(context, to, colours) {
      for (const cluster of clusters) outline(context, to, colours, cluster);
    },
    over(context, to, colours) {
      const taken = [];
      for (const cluster of clusters) label(context, to, colours, cluster, taken);
    },
    onFocus: (point) => show(point?.id),
  });
}

function outline(context, to, colours, cluster) {
  const corners = cluster[chosen("projection")].map((corner) => to(...corner));
  if (corners.length < 3) return;
  context.beginPath();
  corners.forEach((corner, place) => context[place ? "lineTo" : "moveTo"](...corner));
  context.closePath();
  const isHere = cluster.index === here;
  context.fillStyle = colours.accent;
  context.globalAlpha = isHere ? 0.16 : 0.05;
  context.fill();
  context.globalAlpha = isHere ? 1 : 0.55;
  context.lineWidth = isHere ? 2 : 1;
  context.setLineDash(isHere ? [] : [4, 4]);
  context.strokeStyle = colours.faint;
  context.stroke();
  context.setLineDash([]);
  context.globalAlpha = 1;
}

/** Writes a cluster's number and name at its middle, on a ground, below those that are there already. */
function label(context, to, colours, cluster, taken) {
  const corners = cluster[chosen("projection")];
  if (!corners.length) return;
  const middle = [0, 1].map((axis) => corners.reduce((sum, corner) => sum + corner[axis], 0) / corners.length);
  const box = plot.canvas.getBoundingClientRect();
  const text = box.width < 520 ? `${cluster.index + 1}` : `${cluster.index + 1}  ${cluster.label}`;
  context.font = `600 12px ${getComputedStyle(root).fontFamily}`;
  const width = context.measureText(text).width + 14;
  let [x, y] = to(...middle);
  x = Math.max(width / 2 + 4, Math.min(box.width - width / 2 - 4, x));
  const meets = (other) => Math.abs(other.x - x) < (other.width + width) / 2 + 2 && Math.abs(other.y - y) < 22;
  for (let tries = 0; tries < 20 && taken.some(meets); tries += 1) y += 23;
  taken.push({ x, y, width });
  context.beginPath();
  context.roundRect(x - width / 2, y - 10, width, 20, 10);
  context.globalAlpha = 0.9;
  context.fillStyle = colours.panel;
  context.fill();
  context.globalAlpha = 1;
  context.lineWidth = cluster.index === here ? 2 : 1;
  context.strokeStyle = colours.faint;
  context.stroke();
  context.fillStyle = colours.ink;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, y + 0.5);
}

/** The reward below which, and above which, a twentieth of the points lie: colours run between them. */
function range(points) {
  const rewards = points.map((point) => point.reward).filter((reward) => reward !== null).sort((a, b) => a - b);
  const at = (share) => rewards[Math.round(share * (rewards.length - 1))] ?? 0;
  return [at(0.05), at(0.95)];
}

function draw(found) {
  const [low, high] = range(found.points);
  const projection = chosen("projection");
  const isByReward = chosen("colour") === "reward";
  const families = new Set([...root.querySelectorAll("[name=family]:checked")].map((box) => box.value));
  const least = Number(root.querySelector("[name=least]").value) / 100;
  clusters = found.clusters;
  const points = found.points
    .filter((point) => families.has(point.family))
    .filter((point) => least === 0 || (point.reward ?? -1) >= low + least * (high - low))
    .map((point) => {
      const share = point.reward === null ? 0 : Math.max(0, Math.min(1, (point.reward - low) / (high - low || 1)));
      const seen = look(point.family);
      return {
        id: point.id,
        x: point[projection][0],
        y: point[projection][1],
        colour: isByReward ? (colours) => mix(mix(colours.panel, colours.accent, LEAST), colours.accent, share) : seen.colour,
        shape: isByReward ? "circle" : seen.shape,
        size: found.points.length > 1500 ? 3.2 : 4,
        alpha: 0.9,
        href: `/blueprints/${point.id}`,
        title: `${point.id.slice(0, 12)} · reward ${point.reward === null ? "–" : point.reward.toFixed(3)} · ${point.family} · ${clusters[point.cluster].label}`,
      };
    });
  plot.set(points);
  root.querySelector("[data-low]").textContent = low.toFixed(2);
  root.querySelector("[data-high]").textContent = high.toFixed(2);
  root.querySelector("[data-scale]").hidden = !isByReward;
  root.querySelector("[data-least]").textContent = least ? (low + least * (high - low)).toFixed(2) : "any";
  root.querySelector("[data-count]").textContent = `${points.length.toLocaleString("en")} of ${found.points.length.toLocaleString("en")} points`;
}

let drawn = null;
function tell(found) {
  const isWaiting = found.is_redrawn || found.status === "computing";
  status.hidden = !isWaiting && found.status === "ready";
  status.className = found.status === "failed" ? "alert" : "hint";
  progress.hidden = !isWaiting;
  progress.value = found.share;
  root.querySelector("[data-phase]").textContent = isWaiting
    ? `${found.status === "ready" ? "The library has grown; the map is drawn anew" : "The map is being drawn"}: ${found.phase || "starting"}`
    : found.reason;
  if (isWaiting) setTimeout(ask, ASK_AGAIN_MS);
  if (found.status !== "ready" || found.key === drawn) return;
  // The plot's ground and the tables of clusters are the server's: a page that came before is asked for again.
  if (!plot) {
    location.reload();
    return;
  }
  drawn = found.key;
  plot.view = null;
  draw(found);
  root.oninput = () => draw(found);
}

async function ask() {
  let found;
  try {
    found = await answerOf(root.dataset.map);
  } catch (error) {
    status.hidden = false;
    root.querySelector("[data-phase]").textContent = `No answer: ${error.message || "the server is away"}. The page asks again.`;
    setTimeout(ask, AFTER_FAILURE_MS);
    return;
  }
  tell(found);
}
ask();

for (const row of document.querySelectorAll("[data-cluster]")) {
  const point = (index) => () => {
    here = index;
    plot?.draw();
  };
  for (const name of ["pointerenter", "focusin"]) row.addEventListener(name, point(Number(row.dataset.cluster)));
  for (const name of ["pointerleave", "focusout"]) row.addEventListener(name, point(null));
}
