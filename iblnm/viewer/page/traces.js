// Raw bands, preprocessed signal and events over time, zoomed together.
const LEFT = 92, MIN_SPAN = 0.2;
const SERIES = {
  raw: ["GCaMP", "GCaMP trend", "Isosbestic", "Isosbestic trend", "fitted reference"],
  preprocessed: ["z"],
};
const SHADES = {
  invalid: "marked invalid", gaps: "no sample", edge: "filter edge", masked: "artifact, masked",
  pending: "artifact, to be masked",
};

class Traces {
  // page: {head, view, changed(view), selected(t0, t1)}; source: as in session.js
  constructor(page, source) {
    this.page = page;
    this.source = source;
    this.plots = {};
    this.hidden = new Set();
    this.marking = false;
    this.pending = [];
    this.root = el("section", {class: "traces", "aria-label": "signal over time"});
    fit(() => Object.values(this.plots), this.root);
  }

  get full() {
    const {start, stop} = this.page.head.axis;
    return [start, stop];
  }

  get range() {
    const {t0, t1} = this.page.view;
    return t0 === null || t0 === undefined ? this.full : [t0, t1];
  }

  show(panels) {
    this.panels = panels;
    for (const plot of Object.values(this.plots)) plot.destroy();
    this.plots = {};
    this.coarse = this.latest = this.coarseData();
    this.root.replaceChildren(this.toolbar(), ...this.draw(), el("p", {class: "note", id: "trace-note"}));
    this.detail();
  }

  // whether there is anything that has a time
  get hasTimes() {
    return [this.panels.raw, this.panels.preprocessed, this.page.head.events].some((part) => part && !part.missing);
  }

  toolbar() {
    if (!this.hasTimes) {
      this.where = el("output", {class: "range"});
      this.mark = null;
      return el("div", {class: "bar"}, el("h3", {}, "Signal"));
    }
    const spans = [["all", null], ["10 min", 600], ["1 min", 60], ["10 s", 10], ["1 s", 1]];
    this.where = el("output", {class: "range", "aria-live": "polite"});
    this.unit = choice("unit", "signal in", [["z", "z"], ["dff", "dF/F (%)"]], this.page.view.unit, (unit) => {
      this.page.changed({unit});
      this.show(this.panels);
    });
    this.mark = button("Mark artifact (m)", "drag over the traces to mark a window as artifact",
      () => this.setMarking(!this.marking), {"aria-pressed": String(this.marking), name: "mark"});
    return el("div", {class: "bar"},
      el("h3", {}, "Signal"),
      el("span", {class: "group"}, spans.map(([text, span]) => button(text, `show ${text}`, () => this.span(span)))),
      el("span", {class: "group"},
        button("◀", "back (left arrow)", () => this.pan(-0.5)), button("▶", "on (right arrow)", () => this.pan(0.5)),
        button("+", "zoom in (+)", () => this.zoom(0.5)), button("−", "zoom out (−)", () => this.zoom(2))),
      this.where, this.unit, this.page.selected && this.page.head.recordings.length ? this.mark : null);
  }

  setMarking(on) {
    if (!this.mark) return;
    this.marking = on;
    this.mark.setAttribute("aria-pressed", String(on));
    this.root.classList.toggle("marking", on);
  }

  draw() {
    const parts = [];
    for (const name of ["raw", "preprocessed"]) {
      const panel = this.panels[name] || {missing: "not declared"};
      const head = name === "raw" ? "Raw bands" : "Preprocessed";
      const place = el("div", {class: "plot", id: `plot-${name}`});
      parts.push(el("div", {class: "caption"}, el("b", {}, head), " ", this.describe(name, panel)), place);
      if (panel.missing) place.append(missing(panel.missing));
      else this.plots[name] = this.timePlot(place, name, panel);
    }
    const place = el("div", {class: "plot", id: "plot-events"});
    parts.push(el("div", {class: "caption"}, el("b", {}, "Events"), " ", this.shadeKey()), place);
    const events = this.eventPlot(place);
    if (events) this.plots.events = events;
    return parts;
  }

  describe(name, panel) {
    if (panel.missing) return "";
    if (name === "raw") {
      const entries = SERIES.raw.filter((series) => series in panel.series).map((series) => {
        const box = el("input", {type: "checkbox", checked: !this.hidden.has(series), onchange: () => {
          if (box.checked) this.hidden.delete(series); else this.hidden.add(series);
          this.plots.raw.setData(this.aligned("raw", SERIES.raw.some((entry) => entry in this.latest.series) ? this.latest : this.coarse), false);
          const [min, max] = this.range;
          this.plots.raw.setScale("x", {min, max});
        }});
        const {color, dash} = this.style(series);
        return el("label", {class: "series"}, box, key([{color, dash, label: series}]));
      });
      return el("span", {}, entries, el("span", {class: "note"}, ` ${number(panel.rate_hz, 4)} Hz per band. ${panel.note || ""}`));
    }
    const correction = panel.correction === "isosbestic"
      ? `isosbestic correction: slope ${number(panel.iso_slope, 3)}, r² ${number(panel.iso_r2, 3)}`
      : "bleaching correction only, no isosbestic";
    return el("span", {class: "note"}, `${correction}; ${number(panel.fs)} Hz; z = 1 is dF/F ${number(100 * panel.sd, 3)} %`);
  }

  shadeKey() {
    const used = Object.keys(SHADES).filter((kind) => this.intervals(kind).length);
    return key(used.map((kind) => ({className: `shade ${kind}`, label: SHADES[kind]})));
  }

  intervals(kind) {
    if (kind === "pending") return this.pending;
    const panel = kind === "invalid" ? this.panels.raw : this.panels.preprocessed;
    return (panel && panel[kind]) || [];
  }

  setPending(windows) {
    // windows that are labeled and not yet missing in the preprocessed signal
    const made = this.panels && this.panels.preprocessed ? this.panels.preprocessed.masked || [] : [];
    const slack = 0.1;
    this.pending = windows.filter(([a, b]) => !made.some(([c, d]) => c - slack <= a && b <= d + slack));
    // before its first drawing a plot has no range that redraw() could keep
    for (const plot of Object.values(this.plots)) plot.redraw(false);
    const place = this.root.querySelector("#plot-events");
    if (place) place.previousElementSibling.replaceChildren(el("b", {}, "Events"), " ", this.shadeKey());
  }

  style(series) {
    const bands = this.page.head.style.bands;
    const band = series.split(" ")[0];
    if (series === "fitted reference") return {color: INK, width: 1, dash: [4, 3]};
    if (series === "z") {
      return {color: this.page.color || "#3b4a57", width: 1};
    }
    if (series.endsWith("trend")) return {color: band === "GCaMP" ? "#00553d" : "#8b3a6b", width: 1.3, dash: []};
    return {color: bands[band] || INK, width: 0.8};
  }

  timePlot(place, name, panel) {
    const series = [{}], bands = [];
    for (const entry of SERIES[name].filter((s) => s in panel.series)) {
      const {color, width, dash} = this.style(entry);
      const line = {stroke: color, width, dash, points: {show: false}, spanGaps: false};
      series.push(line, {...line});
      bands.push({series: [series.length - 1, series.length - 2], fill: translucent(color, 0.55)});
    }
    const unit = name === "raw" ? `fluorescence (${panel.unit})` : this.page.view.unit === "dff" ? "dF/F (%)" : "signal (z)";
    return this.plot(place, {height: name === "raw" ? 190 : 170, series, bands,
      axes: [axis("", {size: 6, values: (u, s) => s.map(() => ""), ticks: {show: false}}), axis(unit, {size: LEFT - 16, labelSize: 16})],
      hooks: {drawClear: [(u) => this.shade(u)], draw: [(u) => {
        if (name === "raw") this.bandNames(u, panel);
        else drawLine(u, "y", 0);
        this.eventLines(u);
      }]}},
    this.aligned(name, this.coarse));
  }

  // at their ends, since no two colors are told apart by everybody
  bandNames(u, panel) {
    const pen = u.ctx, {left, top, width, height} = u.bbox, line = 13 * devicePixelRatio;
    const names = SERIES.raw.filter((s) => s in panel.series), at = [];
    const bands = ["GCaMP", "Isosbestic"].filter((band) => names.includes(band) && !this.hidden.has(band));
    if (bands.length < 2) return;
    pen.save();
    pen.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    Object.assign(pen, {textAlign: "right", textBaseline: "bottom", lineWidth: 3 * devicePixelRatio, strokeStyle: "#fff"});
    for (const band of bands) {
      const values = u.data[2 + 2 * names.indexOf(band)], x = u.data[0];
      let last = values.length - 1;
      while (last >= 0 && (!Number.isFinite(values[last]) || x[last] > u.scales.x.max)) last--;
      if (last < 0) continue;
      const found = Math.min(Math.max(u.valToPos(values[last], "y", true) - 2 * devicePixelRatio, top + line), top + height);
      const y = at.some((other) => Math.abs(other - found) < line) ? Math.max(...at) + 2 * line : found;
      at.push(y);
      pen.fillStyle = this.style(`${band} trend`).color;
      pen.strokeText(band, left + width - 4 * devicePixelRatio, y);
      pen.fillText(band, left + width - 4 * devicePixelRatio, y);
    }
    pen.restore();
  }

  eventPlot(place) {
    const events = this.page.head.events;
    if (events.missing) {
      place.append(missing(`No events. ${events.missing}`));
      return this.hasTimes ? this.axisOnly(place) : null;
    }
    const names = Object.keys(events);
    const n = names.length;
    return this.plot(place, {height: 20 * n + 44, series: [{}, {stroke: "transparent"}],
      scales: {y: {range: [0, n]}},
      axes: [axis(`time (s, ${this.page.head.axis.clock} clock)`), axis("", {size: LEFT, grid: {show: false}, ticks: {show: false},
        splits: () => names.map((_, i) => n - i - 0.5), values: () => names.map((name) => events[name].label + (events[name].times.length ? "" : ": none"))})],
      hooks: {drawClear: [(u) => this.shade(u)], draw: [(u) => this.ticks(u, names)]}},
    [this.full, [null, null]]);
  }

  axisOnly(place) {
    return this.plot(place, {height: 48, series: [{}, {stroke: "transparent"}], scales: {y: {range: [0, 1]}},
      axes: [axis(`time (s, ${this.page.head.axis.clock} clock)`), axis("", {size: LEFT, grid: {show: false}, ticks: {show: false}, values: () => []})],
      hooks: {}}, [this.full, [null, null]]);
  }

  plot(place, options, data) {
    const [min, max] = this.range;
    const {scales = {}, hooks, ...rest} = options;
    const pad = (u, low, high) => {
      if (low === null || high === null) return [0, 1];
      const margin = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
      return [low - margin, high + margin];
    };
    const plot = new uPlot({
      ...rest, width: place.clientWidth || 900, legend: {show: false}, padding: [8, 22, 0, 0],
      scales: {x: {time: false, min, max}, y: {range: pad}, ...scales},
      cursor: {drag: {x: true, y: false, setScale: false}, sync: {key: "time"}, y: false, points: {show: false},
        bind: {dblclick: () => () => this.go(...this.full)}},
      hooks: {...hooks, setSelect: [(u) => this.select(u)], ready: [(u) => this.wheel(u)],
        setCursor: [(u) => this.readout(u)]},
    }, data, place);
    plot.setScale("x", {min, max});
    return plot;
  }

  readout(u) {
    if (u.cursor.left >= 0 && u.cursor.left !== null) {
      this.where.dataset.at = seconds(u.posToVal(u.cursor.left, "x"));
    }
  }

  select(u) {
    if (u.select.width < 2) return;
    const t0 = u.posToVal(u.select.left, "x"), t1 = u.posToVal(u.select.left + u.select.width, "x");
    u.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
    // plots that are zoomed together are told one after the other, of the same drag
    if (this.dragged) return;
    this.dragged = true;
    setTimeout(() => { this.dragged = false; }, 0);
    if (this.marking && this.page.selected) {
      this.page.selected(t0, t1);
      this.setMarking(false);
    } else this.go(t0, t1);
  }

  wheel(u) {
    u.over.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      const at = u.posToVal(event.clientX - u.over.getBoundingClientRect().left, "x");
      const amount = event.deltaY || event.deltaX;
      if (event.shiftKey) this.pan(amount > 0 ? 0.2 : -0.2);
      else this.zoom(amount > 0 ? 1.4 : 1 / 1.4, at);
    }, {passive: false});
  }

  span(length) {
    if (length === null) return this.go(...this.full);
    const [t0, t1] = this.range, middle = (t0 + t1) / 2;
    return this.go(middle - length / 2, middle + length / 2);
  }

  zoom(factor, at = null) {
    const [t0, t1] = this.range, center = at === null ? (t0 + t1) / 2 : at;
    this.go(center - (center - t0) * factor, center + (t1 - center) * factor);
  }

  pan(share) {
    const [t0, t1] = this.range, step = (t1 - t0) * share;
    this.go(t0 + step, t1 + step);
  }

  go(t0, t1) {
    const [first, last] = this.full;
    const span = Math.min(Math.max(t1 - t0, MIN_SPAN), last - first);
    const start = Math.min(Math.max(t0 + (t1 - t0 - span) / 2, first), last - span);
    const whole = span >= last - first - 1e-9;
    this.page.changed(whole ? {t0: null, t1: null} : {t0: start, t1: start + span});
    const [min, max] = this.range;
    for (const plot of Object.values(this.plots)) plot.setScale("x", {min, max});
    return this.detail();
  }

  async detail() {
    const [t0, t1] = this.range;
    this.where.textContent = `${seconds(t0)} to ${seconds(t1)} s`;
    if (this.request) this.request.abort();
    const request = (this.request = new AbortController());
    this.root.dataset.drawn = "";
    let data = this.coarse, note = "";
    const hasFibers = Object.keys(this.coarse.series).length > 0;
    if (this.source.traces && hasFibers) {
      try {
        const bins = Math.max(200, Math.round((this.root.clientWidth - LEFT) * Math.min(devicePixelRatio, 2)));
        data = await this.source.traces(this.page.view.fiber, t0, t1, bins, request.signal);
        if (data.problem) note = `In part shown in steps of 1 s only: ${data.problem}`;
      } catch (error) {
        if (error.name === "AbortError") return;
        note = `Shown in steps of 1 s only: ${error.message}`;
      }
    } else if (hasFibers && t1 - t0 < 60) note = "A report holds the smallest and largest value of every second; the viewer zooms to single samples.";
    if (request.signal.aborted) return;
    if (data !== this.latest) {
      this.latest = data;
      for (const name of ["raw", "preprocessed"]) {
        // what the server does not read stays in steps of 1 s
        const own = SERIES[name].some((entry) => entry in data.series) ? data : this.coarse;
        if (this.plots[name]) this.plots[name].setData(this.aligned(name, own), false);
      }
      for (const plot of Object.values(this.plots)) plot.setScale("x", {min: t0, max: t1});
    }
    this.root.querySelector("#trace-note").textContent = note;
    this.root.dataset.drawn = `${t0} ${t1}`;
  }

  coarseData() {
    const {start, stop, bins} = this.page.head.axis, series = {};
    for (const name of ["raw", "preprocessed"]) {
      for (const [key, entry] of Object.entries((this.panels[name] || {}).series || {})) {
        series[key] = entry.value ? {low: entry.value, high: entry.value} : entry;
      }
    }
    return {start, stop, bins, series};
  }

  // one time axis for series in bins and series of samples; null is a gap, undefined none
  aligned(name, data) {
    const panel = this.panels[name], dff = name === "preprocessed" && this.page.view.unit === "dff";
    const names = SERIES[name].filter((s) => s in panel.series);
    const width = (data.stop - data.start) / data.bins;
    const centers = Array.from({length: data.bins}, (_, i) => data.start + width * (i + 0.5));
    const entries = names.map((s) => data.series[s] || {low: [], t: []});
    const times = entries.map((entry) => entry.t || centers);
    const shared = times.every((t) => t === centers);
    const x = shared ? centers : Float64Array.from(new Set(times.flatMap((t) => Array.from(t)))).sort();
    const shown = (v) => (Number.isNaN(v) ? null : dff ? 100 * (v * panel.sd + panel.mean) : v);
    const columns = [];
    entries.forEach((entry, k) => {
      for (const values of [entry.low, entry.high || entry.low]) {
        if (this.hidden.has(names[k])) columns.push(new Array(x.length).fill(undefined));
        else if (shared) columns.push(Array.from(values, shown));
        else {
          const column = new Array(x.length).fill(undefined);
          for (let i = 0, j = 0; i < times[k].length; i++) {
            while (x[j] < times[k][i]) j++;
            column[j] = shown(values[i]);
          }
          columns.push(column);
        }
      }
    });
    return [x, ...columns];
  }

  shade(u) {
    const pen = u.ctx, {left, top, width, height} = u.bbox, {min, max} = u.scales.x;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    const fills = {invalid: "#c3c9ce", gaps: "#dfe3e6", edge: "#fff3cf", masked: hatch(pen, "#b3261e"), pending: hatch(pen, "#b3261e88", 9)};
    for (const kind of ["edge", "gaps", "invalid", "masked", "pending"]) {
      pen.fillStyle = fills[kind];
      for (const [a, b] of this.intervals(kind)) {
        if (b < min || a > max) continue;
        const x0 = u.valToPos(Math.max(a, min), "x", true), x1 = u.valToPos(Math.min(b, max), "x", true);
        pen.fillRect(x0, top, Math.max(x1 - x0, devicePixelRatio), height);
        if (kind === "pending") {
          pen.strokeStyle = "#b3261e";
          pen.lineWidth = devicePixelRatio;
          pen.strokeRect(x0, top, Math.max(x1 - x0, 1), height);
        }
      }
    }
    pen.restore();
  }

  ticks(u, names) {
    const pen = u.ctx, {events, style} = this.page.head, {min, max} = u.scales.x;
    const row = u.bbox.height / names.length;
    pen.save();
    names.forEach((name, i) => {
      pen.strokeStyle = style.events[name] || INK;
      pen.lineWidth = devicePixelRatio;
      pen.globalAlpha = max - min > 600 ? 0.55 : 1;
      pen.beginPath();
      for (const time of events[name].times) {
        if (time < min || time > max) continue;
        const x = Math.round(u.valToPos(time, "x", true)) + 0.5;
        pen.moveTo(x, u.bbox.top + row * (i + 0.15));
        pen.lineTo(x, u.bbox.top + row * (i + 0.85));
      }
      pen.stroke();
    });
    pen.restore();
  }

  eventLines(u) {
    const {events, style} = this.page.head, {min, max} = u.scales.x;
    if (events.missing || max - min > 30) return;
    Object.keys(events).forEach((name, i) => {
      for (const time of events[name].times) {
        if (time >= min && time <= max) drawLine(u, "x", time, DASHES[i], style.events[name]);
      }
    });
  }
}
