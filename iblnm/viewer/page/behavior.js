// Panels of the whole session; a kind that a stage adds is registered here or in its own file.
const KINDS = {};

KINDS.psychometric = (place, panel) => {
  const used = panel.blocks, all = used.flatMap((b) => b.x), reach = Math.max(...all.map(Math.abs), 1) * 1.06;
  const lines = used.filter((b) => b.fit), x = Array.from(new Set(lines.flatMap((b) => b.fit.x))).sort((a, b) => a - b);
  const colors = {50: "#4d4d4d", 20: "#0072b2", 80: "#d55e00"};
  const dashes = {50: [], 20: [6, 3], 80: [2, 3]};
  const data = [x.length ? x : [-reach, reach], ...lines.map((b) => {
    const of = new Map(b.fit.x.map((v, i) => [v, b.fit.p[i]]));
    return x.map((v) => of.get(v));
  })];
  if (!lines.length) data.push([null, null]);
  const series = [{}, ...(lines.length ? lines : [null]).map((b) => ({stroke: b ? colors[b.block] : "transparent",
    dash: b ? dashes[b.block] : [], width: 1.5, points: {show: false}}))];
  const plot = smallPlot(place, {series, scales: {x: {time: false, range: () => [-reach, reach]}, y: {range: () => [-0.02, 1.02]}},
    axes: [axis("signed contrast (%), right positive"), axis("share of right choices", {size: 38})],
    hooks: {draw: [(u) => {
      drawLine(u, "x", 0);
      drawLine(u, "y", 0.5);
      used.forEach((b, i) => drawPoints(u, b.x, b.p, colors[b.block], {low: b.low, high: b.high, shape: SHAPES[i]}));
    }]}}, data);
  place.append(el("div", {class: "legend"}, key(used.map((b) => ({color: colors[b.block], dash: dashes[b.block],
    label: `${b.label} (${b.n.reduce((a, c) => a + c, 0)})`})))));
  if (lines.length) place.append(factsTable(["P(left)", "bias (%)", "threshold (%)", "lapse left", "lapse right"], lines.map((b) => [b.label.split("= ")[1],
    number(b.fit.bias, 3), number(b.fit.threshold, 3), number(b.fit.lapse_left, 2), number(b.fit.lapse_right, 2) + (b.fit.at_bound ? " (at bound)" : "")])));
  return plot;
};

KINDS.scatter = (place, panel) => {
  const all = panel.groups.flatMap((g) => Array.from(g.y)).filter((v) => v > 0);
  const low = 10 ** Math.floor(Math.log10(Math.max(Math.min(...all), 0.01))), high = 10 ** Math.ceil(Math.log10(Math.max(...all, 0.1)));
  const plot = smallPlot(place, {series: [{}, {stroke: "transparent", points: {show: false}}],
    scales: {x: {time: false, range: () => [0, panel.n + 1]}, y: {distr: 3, range: () => [low, high]}},
    axes: [axis(panel.x_label), axis(panel.y_label, {size: 38, splits: () => decades(low, high)})],
    hooks: {draw: [(u) => panel.groups.forEach((g, i) => drawPoints(u, g.x, g.y.map((v) => Math.max(v, low)), CATEGORIES[i], {radius: 1.8, shape: i ? "cross" : "circle"}))]}},
  [[0, panel.n + 1], [low, high]]);
  place.append(el("div", {class: "legend"}, panel.groups.map((g, i) => el("span", {class: "dot"}, el("b", {style: {color: CATEGORIES[i]}}, i ? "×" : "●"),
    ` ${g.label} (${g.n}), median ${number(g.median, 3)} s`))));
  return plot;
};

function decades(low, high) {
  const all = [];
  for (let v = low; v <= high * 1.001; v *= 10) all.push(Number(v.toPrecision(1)));
  return all;
}

KINDS.means = (place, panel) => {
  const data = [Array.from(panel.time)], series = [{}], bands = [];
  panel.groups.forEach((g, i) => {
    const style = ribbon(CATEGORIES[i], {width: 1.4, dash: DASHES[i], alpha: 0.2});
    data.push(orNull(g.mean.map((v, k) => v + g.sem[k])), orNull(g.mean.map((v, k) => v - g.sem[k])), orNull(g.mean));
    series.push(style.high, style.low, style.line);
    bands.push({series: [series.length - 3, series.length - 2], fill: style.fill});
  });
  const plot = smallPlot(place, {series, bands, scales: {x: {time: false}},
    axes: [axis(panel.x_label), axis(panel.y_label, {size: 34})], hooks: {draw: [(u) => drawLine(u, "y", 0)]}}, data);
  place.append(el("div", {class: "legend"}, key(panel.groups.map((g, i) => ({color: CATEGORIES[i], dash: DASHES[i], label: `${g.label} (${g.n})`})))));
  return plot;
};

KINDS.table = (place, panel) => {
  place.append(factsTable(panel.columns, panel.rows.map((row) => row.map((v) => (typeof v === "number" ? number(v) : v)))));
  return null;
};

function smallPlot(place, options, data) {
  const host = el("div", {class: "plot"});
  place.append(host);
  return new uPlot({width: host.clientWidth || 320, height: 230, legend: {show: false}, padding: [8, 10, 0, 0],
    cursor: {drag: {x: false, y: false}, points: {show: false}}, ...options}, data, host);
}

function factsTable(columns, rows) {
  return el("table", {class: "facts"}, el("thead", {}, el("tr", {}, columns.map((c) => el("th", {scope: "col"}, c)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell === null || cell === undefined ? "" : cell))))));
}
