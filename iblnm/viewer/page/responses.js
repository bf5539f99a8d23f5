// Trials as heat maps beside the means of groups of trials.
const SIDE = 60, HEAT_HEIGHT = 250, STRIP = 7;
const SORTS = [["time", "time"], ["contrast", "contrast"], ["outcome", "outcome"], ["reaction", "reaction time"]];
// diverging, told apart by lightness too; gray: no value
const BLUE_RED = [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]];
const NONE = [214, 217, 220];

class Responses {
  constructor(page) {
    this.page = page;
    this.plots = [];
    this.root = el("section", {class: "responses", "aria-label": "responses"});
    fit(() => this.plots, this.root);
    new ResizeObserver(() => this.heats && this.heats.forEach((heat) => heat())).observe(this.root);
  }

  show(panel) {
    this.panel = panel;
    for (const plot of this.plots) plot.destroy();
    this.plots = [];
    this.heats = [];
    const head = el("h3", {}, "Responses");
    if (!panel || panel.missing) {
      this.root.replaceChildren(el("div", {class: "bar"}, head), missing(panel ? panel.missing : "not declared"));
      return;
    }
    this.grouping = panel.groupings.find((g) => g.name === this.page.view.group) || panel.groupings[0];
    this.colors = groupColors(this.grouping);
    this.order = this.sorted();
    this.readout = el("output", {class: "readout"});
    const columns = panel.events.map((event, i) => this.column(i));
    this.root.replaceChildren(this.toolbar(head), el("div", {class: "columns"}, columns, this.colorBar()), this.legend());
    columns.forEach((_, i) => {
      this.heats[i]();
      this.plots.push(this.means(i));
    });
  }

  update(change) {
    this.page.changed(change);
    const focused = document.activeElement && document.activeElement.getAttribute("name");
    this.show(this.panel);
    const again = focused && this.root.querySelector(`[name="${CSS.escape(focused)}"]`);
    if (again) again.focus();
  }

  toolbar(head) {
    const {view} = this.page, panel = this.panel;
    const toggle = (name, text, title) => el("label", {title}, el("input", {type: "checkbox", name, checked: view[name],
      onchange: (event) => this.update({[name]: event.target.checked})}), text);
    const [from, to] = panel.baseline_window;
    return el("div", {class: "bar"}, head,
      choice("sort", "sort trials by", SORTS, view.sort, (sort) => this.update({sort})),
      choice("group", "compare", panel.groupings.map((g) => [g.name, g.label]), this.grouping.name, (group) => this.update({group})),
      toggle("baseline", `subtract baseline (${number(from)} to ${number(to)} s)`, "mean of each trial before the event (b)"),
      toggle("mask", "hide what follows the next event", "of the same trial (x)"),
      this.readout);
  }

  sorted() {
    const {trials} = this.page.head, n = this.panel.heat.shape[1];
    const order = Array.from({length: n}, (_, i) => i);
    const keys = {
      contrast: [trials.contrast, trials.signed_contrast], outcome: [trials.feedbackType && trials.feedbackType.map((v) => -v)],
      reaction: [trials.reaction_time], time: [],
    }[this.page.view.sort] || [];
    const last = (v) => (Number.isNaN(v) || v === undefined ? Infinity : v);
    return order.sort((a, b) => {
      for (const key of keys.filter(Boolean)) {
        if (last(key[a]) !== last(key[b])) return last(key[a]) - last(key[b]);
      }
      return a - b;
    });
  }

  value(event, trial, k) {
    const {heat, baseline, next, time} = this.panel, [, n, m] = heat.shape;
    if (this.page.view.mask && time[k] >= next[event * n + trial]) return NaN;
    const value = heat[(event * n + trial) * m + k];
    return this.page.view.baseline ? value - baseline[event * n + trial] : value;
  }

  column(i) {
    const canvas = el("canvas", {class: "heat", role: "img",
      "aria-label": `heat map of all trials around ${this.panel.labels[i]}`});
    canvas.addEventListener("mousemove", (event) => this.tell(i, canvas, event));
    canvas.addEventListener("mouseleave", () => { this.readout.textContent = ""; });
    this.heats[i] = () => this.heat(i, canvas);
    return el("div", {class: "column"}, el("h4", {}, this.panel.labels[i]), canvas, el("div", {class: "plot mean"}));
  }

  heat(event, canvas) {
    const width = canvas.parentElement.clientWidth, scale = devicePixelRatio;
    if (!width) return;
    canvas.style.height = `${HEAT_HEIGHT}px`;
    canvas.width = width * scale;
    canvas.height = HEAT_HEIGHT * scale;
    const [, n, m] = this.panel.heat.shape, pen = canvas.getContext("2d");
    const left = SIDE * scale, w = canvas.width - left - (STRIP + 6) * scale, h = canvas.height - 6 * scale, top = 3 * scale;
    const rows = Math.max(1, Math.min(n, Math.floor(h)));
    const image = new ImageData(m, rows);
    for (let r = 0; r < rows; r++) {
      const first = Math.floor((r * n) / rows), stop = Math.max(first + 1, Math.floor(((r + 1) * n) / rows));
      for (let k = 0; k < m; k++) {
        let sum = 0, count = 0;
        for (let i = first; i < stop; i++) {
          const value = this.value(event, this.order[i], k);
          if (!Number.isNaN(value)) { sum += value; count++; }
        }
        const color = count ? heatColor(sum / count / this.panel.limit) : NONE;
        image.data.set([...color, 255], 4 * (r * m + k));
      }
    }
    const tile = new OffscreenCanvas(m, rows);
    tile.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(tile, left, top, w, h);
    this.heatFrame(pen, {left, top, w, h, n, scale});
    canvas.dataset.first = this.order[0];
    canvas.dataset.drawn = `${this.page.view.sort} ${this.page.view.baseline} ${this.page.view.mask}`;
  }

  heatFrame(pen, {left, top, w, h, n, scale}) {
    const {time} = this.panel, step = time[1] - time[0];
    const zero = left + (w * (0 - time[0])) / (time[time.length - 1] + step - time[0]);
    pen.strokeStyle = INK;
    pen.lineWidth = scale;
    pen.setLineDash([3 * scale, 3 * scale]);
    pen.beginPath();
    pen.moveTo(zero, top);
    pen.lineTo(zero, top + h);
    pen.stroke();
    pen.setLineDash([]);
    pen.font = FONT.replace("11px", `${11 * scale}px`);
    pen.fillStyle = INK;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const trial of niceTicks(n)) {
      const y = top + (h * (trial - 0.5)) / n;
      pen.fillText(String(trial), left - 6 * scale, Math.min(Math.max(y, 6 * scale), top + h - 5 * scale));
      pen.fillRect(left - 4 * scale, y, 4 * scale, scale);
    }
    this.order.forEach((trial, i) => {
      const group = this.grouping.members[trial];
      pen.fillStyle = group < 0 ? "#ffffff" : this.colors[group];
      pen.fillRect(left + w + 3 * scale, top + (h * i) / n, STRIP * scale, Math.max(h / n, scale / 2));
    });
    pen.save();
    pen.fillStyle = SOFT;
    pen.translate(9 * scale, top + h / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(this.page.view.sort === "time" ? "trial" : "trial, sorted", 0, 0);
    pen.restore();
  }

  tell(event, canvas, mouse) {
    const box = canvas.getBoundingClientRect(), [, n, m] = this.panel.heat.shape, {trials} = this.page.head;
    const x = (mouse.clientX - box.left - SIDE) / (box.width - SIDE - STRIP - 6), y = (mouse.clientY - box.top - 3) / (box.height - 6);
    if (x < 0 || x >= 1 || y < 0 || y >= 1) { this.readout.textContent = ""; return; }
    const trial = this.order[Math.floor(y * n)], k = Math.floor(x * m), value = this.value(event, trial, k);
    const share = this.panel.masked_share[event * n + trial];
    const parts = [`trial ${trial + 1}`];
    if (trials.signed_contrast) parts.push(`contrast ${number(trials.signed_contrast[trial])} %`);
    if (trials.feedbackType) parts.push(trials.feedbackType[trial] === 1 ? "correct" : "error");
    if (trials.reaction_time && !Number.isNaN(trials.reaction_time[trial])) parts.push(`reaction ${number(trials.reaction_time[trial], 3)} s`);
    if (share) parts.push(`${Math.round(100 * share)} % masked`);
    parts.push(`${number(this.panel.time[k], 3)} s: ${Number.isNaN(value) ? "no value" : "z " + number(value, 3)}`);
    this.readout.textContent = parts.join(", ");
  }

  means(event) {
    const {view} = this.page, {time} = this.panel, {mean, sem, labels} = this.grouping;
    const place = this.root.querySelectorAll(".mean")[event], m = time.length, groups = labels.length;
    const data = [Array.from(time)], series = [{}], bands = [];
    labels.forEach((label, g) => {
      const at = (((event * 2 + (view.baseline ? 1 : 0)) * 2 + (view.mask ? 1 : 0)) * groups + g) * m;
      const style = ribbon(this.colors[g], {width: 1.4, dash: this.grouping.ordered ? [] : DASHES[g], alpha: 0.18});
      const center = mean.slice(at, at + m), error = sem.slice(at, at + m);
      data.push(orNull(center.map((v, k) => v + error[k])), orNull(center.map((v, k) => v - error[k])), orNull(center));
      series.push(style.high, style.low, style.line);
      bands.push({series: [series.length - 3, series.length - 2], fill: style.fill});
    });
    const range = this.sharedRange();
    const half = (time[1] - time[0]) / 2;
    return new uPlot({width: place.clientWidth || 300, height: 190, legend: {show: false}, series, bands,
      padding: [6, STRIP + 6, 0, 0], cursor: {drag: {x: false, y: false}, points: {show: false}},
      scales: {x: {time: false, range: () => [time[0], time[m - 1] + 2 * half]}, y: {range: () => range}},
      axes: [axis("time from event (s)"), axis(event ? "" : "response (z)", {size: event ? SIDE : SIDE - 16})],
      hooks: {draw: [(u) => { drawLine(u, "x", 0); drawLine(u, "y", 0); }]}}, data, place);
  }

  sharedRange() {
    const {view} = this.page, {mean, sem, labels} = this.grouping, m = this.panel.time.length;
    let low = Infinity, high = -Infinity;
    this.panel.events.forEach((_, event) => {
      const at = ((event * 2 + (view.baseline ? 1 : 0)) * 2 + (view.mask ? 1 : 0)) * labels.length * m;
      for (let i = at; i < at + labels.length * m; i++) {
        if (Number.isNaN(mean[i])) continue;
        // a mean of one trial has no error
        const error = sem[i] || 0;
        low = Math.min(low, mean[i] - error);
        high = Math.max(high, mean[i] + error);
      }
    });
    if (low > high) return [-1, 1];
    const margin = 0.06 * (high - low) || 1;
    return [low - margin, high + margin];
  }

  colorBar() {
    const canvas = el("canvas", {width: 14, height: 180, "aria-hidden": "true"});
    const pen = canvas.getContext("2d");
    for (let y = 0; y < 180; y++) {
      pen.fillStyle = `rgb(${heatColor(1 - (2 * y) / 179).join(",")})`;
      pen.fillRect(0, y, 14, 1);
    }
    const limit = number(this.panel.limit, 2);
    return el("div", {class: "colorbar"}, el("span", {}, "z"), el("span", {}, `≥ ${limit}`), canvas,
      el("span", {}, `≤ −${limit}`), el("span", {class: "none"}, el("i"), " none"));
  }

  legend() {
    const {labels, n, ordered} = this.grouping;
    const counts = (g) => n.map((row) => row[g]);
    const text = (g) => { const all = counts(g); return all.every((c) => c === all[0]) ? all[0] : all.join(" / "); };
    return el("div", {class: "legend"}, el("span", {}, `mean ± SEM over trials by ${this.grouping.label} (n): `),
      key(labels.map((label, g) => ({color: this.colors[g], dash: ordered ? [] : DASHES[g], label: `${label} (${text(g)})`}))));
  }
}

function heatColor(share) {
  const at = Math.min(Math.max((share + 1) * 2, 0), 4), i = Math.min(Math.floor(at), 3), part = at - i;
  return BLUE_RED[i].map((c, k) => Math.round(c + (BLUE_RED[i + 1][k] - c) * part));
}

function niceTicks(n) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000].find((s) => n / s <= 6) || n;
  const ticks = n ? [1] : [];
  for (let t = step; t <= n; t += step) if (t > 1) ticks.push(t);
  return ticks;
}
