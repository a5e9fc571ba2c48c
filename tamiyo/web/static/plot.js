// Points on a canvas: axes, zoom by a frame, one focus for pointer and keys; knows nothing of blueprints.

const MARGIN = { top: 42, right: 16, bottom: 46, left: 56 };
const REACH = 18; // pixels within which a pointer finds a point
const STEP = 1.5; // a step of zoom

/** Tick values between two numbers, at most about `most`; powers of ten and their parts on a log axis. */
export function ticks(low, high, isLog, most) {
  if (isLog) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const part of [1, 2, 5]) found.push(part * 10 ** power);
    }
    const inside = found.filter((value) => value >= low && value <= high);
    const tens = inside.filter((value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9);
    if (inside.length <= most) return inside.length > 1 ? inside : ticks(low, high, false, most);
    const every = Math.ceil(tens.length / most);
    return tens.filter((_, place) => place % every === 0);
  }
  const raw = (high - low) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((part) => part * power >= raw) * power;
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n += 1) found.push(n * step);
  return found;
}

/** A number in three digits: 0.731, 940, 26.6k, 1.2M. */
export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

/** The colours of the page's theme that a canvas needs, by the names of the style sheet. */
export function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return { ink: read("ink"), faint: read("faint"), grid: read("grid"), panel: read("panel"), accent: read("accent"), read };
}

/** Calls back whenever the page's colours change. */
export function onTheme(act) {
  document.addEventListener("themechange", act);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", act);
}

/** A mix of two colours as `rgb(...)` or `#rrggbb`, the second at a share of 0 to 1. */
export function mix(first, second, share) {
  const [a, b] = [numbers(first), numbers(second)];
  return `rgb(${a.map((value, place) => Math.round(value + (b[place] - value) * share)).join(" ")})`;
}

function numbers(colour) {
  if (colour.startsWith("#")) return [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  return colour.match(/[\d.]+/g).slice(0, 3).map(Number);
}

/** The path of a mark of some size around a place. */
export function mark(context, shape, x, y, size) {
  context.beginPath();
  if (shape === "square") context.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
  else if (shape === "circle") context.arc(x, y, size, 0, 7);
  else {
    const corners = { triangle: [-90, 30, 150], diamond: [-90, 0, 90, 180], wedge: [90, 210, 330] }[shape];
    for (const [place, angle] of corners.entries()) {
      const [cos, sin] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
      context[place ? "lineTo" : "moveTo"](x + 1.3 * size * cos, y + 1.3 * size * sin);
    }
    context.closePath();
  }
}

/**
 * A plot inside `root`, which holds a canvas, a `[data-tip]`, a `[data-told]` for screen readers and buttons
 * `[data-zoom]` of "in", "out" and "all".
 *
 * A point is `{x, y, colour, shape, size, title, href, isRing}`. `options.x` and `options.y` are axes,
 * `{title, isLog, low, high}`, or missing for a plane whose units mean nothing and are the same both ways.
 */
export class Plot {
  constructor(root, options) {
    this.root = root;
    this.options = options;
    this.canvas = root.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.tip = root.querySelector("[data-tip]");
    this.told = root.querySelector("[data-told]");
    this.points = [];
    this.focus = null;
    this.view = null;
    this.frame = null;
    this.isPlane = !options.x;
    this.margin = this.isPlane ? { top: 8, right: 8, bottom: 8, left: 8 } : MARGIN;
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    onTheme(() => this.draw());
    this.listen();
  }

  /** Shows these points; `axes` may change too. The zoom stays where the axes do. */
  set(points, axes = null) {
    this.points = points;
    if (axes) {
      Object.assign(this.options, axes);
      this.view = null;
    }
    if (!points.includes(this.focus)) this.setFocus(null);
    this.draw();
  }

  /** The whole view, in the coordinates in which axes are linear. */
  whole() {
    const span = (axis, values) => {
      const known = values.filter(Number.isFinite);
      let [low, high] = [axis?.low ?? Math.min(...known), axis?.high ?? Math.max(...known)];
      if (!known.length) [low, high] = [axis?.isLog ? 1 : 0, axis?.isLog ? 10 : 1];
      [low, high] = axis?.isLog ? [Math.log10(low), Math.log10(high)] : [low, high];
      const room = (high - low || 1) * 0.04;
      return [low - room, high + room];
    };
    return {
      x: span(this.options.x, this.points.map((point) => point.x)),
      y: span(this.options.y, this.points.map((point) => point.y)),
    };
  }

  /** The view that is drawn: the zoomed one or the whole, with equal units both ways on a plane. */
  seen() {
    const view = this.view ?? this.whole();
    if (!this.isPlane) return view;
    const [width, height] = this.inner();
    const unit = Math.max((view.x[1] - view.x[0]) / width, (view.y[1] - view.y[0]) / height);
    const around = ([low, high], pixels) => [(low + high - unit * pixels) / 2, (low + high + unit * pixels) / 2];
    return { x: around(view.x, width), y: around(view.y, height) };
  }

  inner() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const { top, right, bottom, left } = this.margin;
    return [Math.max(width - left - right, 10), Math.max(height - top - bottom, 10)];
  }

  /** Where a point lies, in pixels of the canvas. */
  place(x, y, view = this.seen()) {
    const [width, height] = this.inner();
    const along = (value, axis, [low, high]) => ((axis?.isLog ? Math.log10(value) : value) - low) / (high - low);
    return [
      this.margin.left + width * along(x, this.options.x, view.x),
      this.margin.top + height * (1 - along(y, this.options.y, view.y)),
    ];
  }

  isInside([x, y]) {
    const [width, height] = this.inner();
    const { left, top } = this.margin;
    return x >= left - 1 && x <= left + width + 1 && y >= top - 1 && y <= top + height + 1;
  }

  draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const { context } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const colours = theme();
    const view = this.seen();
    if (!this.isPlane) this.drawAxes(view, colours);
    context.save();
    context.beginPath();
    const [innerWidth, innerHeight] = this.inner();
    context.rect(this.margin.left - 6, this.margin.top - 6, innerWidth + 12, innerHeight + 12);
    context.clip();
    const to = (x, y) => this.place(x, y, view);
    this.options.under?.(context, to, colours);
    for (const point of this.points) this.drawPoint(point, to(point.x, point.y), colours);
    this.options.over?.(context, to, colours);
    if (this.focus) this.drawFocus(to(this.focus.x, this.focus.y), colours);
    context.restore();
    if (this.frame) this.drawFrame(colours);
    this.showTip();
  }

  drawPoint(point, [x, y], colours) {
    const { context } = this;
    mark(context, point.shape ?? "circle", x, y, point.size ?? 4);
    context.globalAlpha = point.alpha ?? 0.85;
    context.fillStyle = point.colour(colours);
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = point.isRing ? 1.6 : 0.8;
    context.strokeStyle = point.isRing ? colours.ink : colours.panel;
    context.stroke();
  }

  drawFocus([x, y], colours) {
    const { context } = this;
    context.lineWidth = 2.5;
    context.strokeStyle = colours.ink;
    mark(context, "circle", x, y, (this.focus.size ?? 4) + 5);
    context.stroke();
  }

  drawFrame(colours) {
    const [a, b] = this.frame;
    this.context.fillStyle = mix(colours.panel, colours.accent, 0.5);
    this.context.globalAlpha = 0.25;
    this.context.fillRect(a[0], a[1], b[0] - a[0], b[1] - a[1]);
    this.context.globalAlpha = 1;
    this.context.lineWidth = 1;
    this.context.strokeStyle = colours.accent;
    this.context.strokeRect(a[0], a[1], b[0] - a[0], b[1] - a[1]);
  }

  drawAxes(view, colours) {
    const { context, options } = this;
    const [width, height] = this.inner();
    const { left, top } = this.margin;
    const own = (axis, [low, high], most) =>
      axis.isLog ? ticks(10 ** low, 10 ** high, true, most) : ticks(low, high, false, most);
    context.font = `12px ${getComputedStyle(this.root).fontFamily}`;
    context.lineWidth = 1;
    context.strokeStyle = colours.grid;
    context.fillStyle = colours.faint;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const value of own(options.y, view.y, height / 48)) {
      const [, y] = this.place(1, value, view);
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(left + width, y);
      context.stroke();
      context.fillText(short(value), left - 8, y);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const value of own(options.x, view.x, width / 70)) {
      const [x] = this.place(value, 1, view);
      context.beginPath();
      context.moveTo(x, top);
      context.lineTo(x, top + height);
      context.stroke();
      context.fillText(short(value), x, top + height + 8);
    }
    context.fillStyle = colours.ink;
    context.fillText(options.x.title, left + width / 2, top + height + 28);
    context.save();
    context.translate(12, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.textBaseline = "middle";
    context.fillText(options.y.title, 0, 0);
    context.restore();
  }

  /** Zooms around the middle, or to everything. */
  zoom(how) {
    if (how === "all") this.view = null;
    else {
      const share = how === "in" ? 1 / STEP : STEP;
      const around = ([low, high]) => [
        (low + high - share * (high - low)) / 2,
        (low + high + share * (high - low)) / 2,
      ];
      const { x, y } = this.seen();
      this.view = { x: around(x), y: around(y) };
    }
    this.draw();
  }

  zoomTo([a, b]) {
    const view = this.seen();
    const [width, height] = this.inner();
    const at = (share, [low, high]) => low + share * (high - low);
    const xs = [a[0], b[0]].map((x) => at((x - this.margin.left) / width, view.x));
    const ys = [a[1], b[1]].map((y) => at(1 - (y - this.margin.top) / height, view.y));
    this.view = { x: xs.sort((p, q) => p - q), y: ys.sort((p, q) => p - q) };
    this.draw();
  }

  setFocus(point) {
    if (point === this.focus) return;
    this.focus = point;
    if (this.told) this.told.textContent = point ? point.title : "";
    this.options.onFocus?.(point);
    this.draw();
  }

  nearest(x, y) {
    const view = this.seen();
    let [best, least] = [null, REACH ** 2];
    for (const point of this.points) {
      const place = this.place(point.x, point.y, view);
      const distance = (place[0] - x) ** 2 + (place[1] - y) ** 2;
      if (distance <= least && this.isInside(place)) [best, least] = [point, distance];
    }
    return best;
  }

  /** Moves the focus to the next point along an axis, of those that are seen. */
  move(axis, step) {
    const view = this.seen();
    const seen = this.points.filter((point) => this.isInside(this.place(point.x, point.y, view)));
    if (!seen.length) return;
    const ordered = seen.sort((p, q) => p[axis] - q[axis] || p.x - q.x || p.y - q.y);
    const at = ordered.indexOf(this.focus);
    const next = at < 0 ? (step > 0 ? 0 : ordered.length - 1) : at + step;
    this.setFocus(ordered[Math.min(Math.max(next, 0), ordered.length - 1)]);
  }

  showTip() {
    if (!this.tip) return;
    this.tip.hidden = !this.focus || !!this.frame;
    if (this.tip.hidden) return;
    this.tip.textContent = this.focus.title;
    const [x, y] = this.place(this.focus.x, this.focus.y);
    const { width } = this.canvas.getBoundingClientRect();
    const room = this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(4, Math.min(x + 14, width - room - 4))}px`;
    this.tip.style.top = `${y < 70 ? y + 16 : y - this.tip.offsetHeight - 14}px`;
  }

  listen() {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let start = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && event.pointerType !== "touch") start = at(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      const here = at(event);
      const isDragged = start && Math.hypot(here[0] - start[0], here[1] - start[1]) > 6;
      if (isDragged) {
        canvas.setPointerCapture(event.pointerId);
        this.frame = [start, here];
        this.draw();
      } else if (!start) this.setFocus(this.nearest(...here));
      canvas.classList.toggle("on-point", !!this.focus && !isDragged);
    });
    canvas.addEventListener("pointerup", (event) => {
      const frame = this.frame;
      [start, this.frame] = [null, null];
      if (frame) {
        const isLarge = Math.abs(frame[0][0] - frame[1][0]) > 8 && Math.abs(frame[0][1] - frame[1][1]) > 8;
        if (isLarge) this.zoomTo(frame);
        else this.draw();
        return;
      }
      const found = this.nearest(...at(event));
      const isSecond = found && found === this.focus;
      this.setFocus(found);
      // A finger has no hover: its first tap shows a point, its second opens it.
      if (found?.href && (event.pointerType !== "touch" || isSecond)) this.open(found, event);
    });
    canvas.addEventListener("pointercancel", () => {
      [start, this.frame] = [null, null];
      this.draw();
    });
    canvas.addEventListener("pointerleave", () => {
      if (!start && document.activeElement !== canvas) this.setFocus(null);
    });
    canvas.addEventListener("blur", () => this.setFocus(null));
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const button of this.root.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => this.zoom(button.dataset.zoom));
    }
  }

  open(point, event) {
    if (event.ctrlKey || event.metaKey) window.open(point.href, "_blank", "noopener");
    else location.assign(point.href);
  }

  key(event) {
    const moves = { ArrowRight: ["x", 1], ArrowLeft: ["x", -1], ArrowUp: ["y", 1], ArrowDown: ["y", -1] };
    const zooms = { "+": "in", "=": "in", "-": "out", 0: "all" };
    if (event.altKey) return;
    if (event.key === "Enter" && this.focus?.href) this.open(this.focus, event);
    else if (event.key === "Escape") this.setFocus(null);
    else if (event.ctrlKey || event.metaKey) return;
    else if (moves[event.key]) this.move(...moves[event.key]);
    else if (zooms[event.key]) this.zoom(zooms[event.key]);
    else return;
    event.preventDefault();
  }
}
