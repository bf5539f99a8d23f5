// What all plots share: axes, colors, filling between two lines, hatching.
const INK = "#1c2730", SOFT = "#5c6872", GRID = "#e8ebee";
const FONT = '11px system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif';
const CATEGORIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];
// light to dark, each at least 3:1 on white
const SEQUENCE = ["#3aa655", "#1f8f8b", "#2b748e", "#3a548c", "#46327e", "#440154"];
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];

function groupColors(grouping) {
  const n = grouping.labels.length;
  if (!grouping.ordered) return grouping.labels.map((_, i) => CATEGORIES[i % CATEGORIES.length]);
  return grouping.labels.map((_, i) => SEQUENCE[Math.round((i * (SEQUENCE.length - 1)) / Math.max(1, n - 1))]);
}

// a color dark enough for a line on white, 3:1 at least
function readable(color) {
  let parts = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
  const light = (rgb) => rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  while (1.05 / (light(parts) + 0.05) < 3) parts = parts.map((c) => Math.round(c * 0.93));
  return "#" + parts.map((c) => c.toString(16).padStart(2, "0")).join("");
}

function axis(label, more = {}) {
  return {stroke: INK, font: FONT, labelFont: FONT, label, labelSize: label ? 16 : 0, labelGap: 0,
    gap: 3, size: 24, grid: {stroke: GRID, width: 1}, ticks: {stroke: "#b9c2c9", size: 4, width: 1},
    values: (u, splits) => splits.map((v) => (v === null ? "" : number(v))), ...more};
}

const orNull = (values) => Array.from(values, (v) => (Number.isNaN(v) ? null : v));
const translucent = (color, alpha) => color + Math.round(alpha * 255).toString(16).padStart(2, "0");

// two edges and, if given, a line between them
function ribbon(color, {width = 1, dash = [], alpha = 0.22, label = ""} = {}) {
  const edge = {stroke: "transparent", width: 0, points: {show: false}};
  return {low: edge, high: edge, line: {stroke: color, width, dash, label, points: {show: false}},
    fill: translucent(color, alpha)};
}

function fit(plots, host) {
  new ResizeObserver(() => {
    for (const plot of plots()) {
      const width = plot.root.parentElement.clientWidth;
      if (width && width !== plot.width) plot.setSize({width, height: plot.height});
    }
  }).observe(host);
}

function hatch(context, color, gap = 6) {
  const size = gap * devicePixelRatio, tile = document.createElement("canvas");
  tile.width = tile.height = size;
  const pen = tile.getContext("2d");
  pen.strokeStyle = color;
  pen.lineWidth = 1.4 * devicePixelRatio;
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

// points with their intervals, drawn by the plot's own scales
function drawPoints(u, x, y, color, {radius = 3, low = null, high = null, shape = "circle"} = {}) {
  const pen = u.ctx, scale = devicePixelRatio;
  pen.save();
  pen.beginPath();
  pen.rect(u.bbox.left - 4 * scale, u.bbox.top - 4 * scale, u.bbox.width + 8 * scale, u.bbox.height + 8 * scale);
  pen.clip();
  pen.fillStyle = pen.strokeStyle = color;
  pen.lineWidth = scale;
  pen.setLineDash([]);
  for (let i = 0; i < x.length; i++) {
    const cx = u.valToPos(x[i], "x", true), cy = u.valToPos(y[i], "y", true), r = radius * scale;
    if (low) {
      pen.beginPath();
      pen.moveTo(cx, u.valToPos(low[i], "y", true));
      pen.lineTo(cx, u.valToPos(high[i], "y", true));
      pen.stroke();
    }
    pen.beginPath();
    if (shape === "circle") pen.arc(cx, cy, r, 0, 7);
    else if (shape === "square") pen.rect(cx - r, cy - r, 2 * r, 2 * r);
    else {
      pen.moveTo(cx - r, cy - r); pen.lineTo(cx + r, cy + r);
      pen.moveTo(cx + r, cy - r); pen.lineTo(cx - r, cy + r);
      pen.stroke();
    }
    if (shape !== "cross") pen.fill();
  }
  pen.restore();
}
const SHAPES = ["circle", "square", "cross"];

function drawLine(u, scale, value, dash = [3, 3], color = "#8a949c") {
  const pen = u.ctx, at = Math.round(u.valToPos(value, scale, true)), {left, top, width, height} = u.bbox;
  if (!Number.isFinite(at) || (scale === "x" ? at < left || at > left + width : at < top || at > top + height)) return;
  pen.save();
  pen.strokeStyle = color;
  pen.lineWidth = devicePixelRatio;
  pen.setLineDash(dash.map((d) => d * devicePixelRatio));
  pen.beginPath();
  if (scale === "x") { pen.moveTo(at, top); pen.lineTo(at, top + height); }
  else { pen.moveTo(left, at); pen.lineTo(left + width, at); }
  pen.stroke();
  pen.restore();
}

function key(entries) {
  return el("span", {class: "key"}, entries.map(({color, label, dash, className}) =>
    el("span", {}, el("i", {class: className || (!dash || !dash.length ? "line" : dash[0] > 2 ? "dashed" : "dotted"),
      style: className ? {} : {borderTopColor: color}}), label)));
}
