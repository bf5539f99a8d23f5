// One session: the same page live and in the report.
// source: {head, fiber(i) → promise of {panels}, traces(fiber, t0, t1, bins, signal) or null,
//          extras: {checks, failures, analyses, links, files}}
const DEFAULTS = {fiber: 0, t0: null, t1: null, unit: "z", sort: "time", group: "contrast", baseline: true, mask: true};

class SessionPage {
  constructor(root, source, view = {}, on = {}) {
    this.root = root;
    this.source = source;
    this.head = source.head;
    this.on = on;
    this.view = {...DEFAULTS, ...view};
    if (!this.head.recordings[this.view.fiber]) this.view.fiber = 0;
    this.selected = on.selected || null;
    this.plots = [];
    root.page = this; // for who measures
  }

  get color() {
    const recording = this.head.recordings[this.view.fiber];
    const color = recording && this.head.style.targets[recording.target_NM];
    return /^#[0-9a-f]{6}$/i.test(color || "") ? readable(color) : null;
  }

  changed(change) {
    Object.assign(this.view, change);
    if (this.on.changed) this.on.changed(this.view);
  }

  async draw() {
    this.traces = new Traces(this, this.source);
    this.responses = new Responses(this);
    this.quality = el("section", {class: "quality"});
    this.below = el("div", {class: "below"});
    const declares = (...names) => this.head.order.some((p) => names.includes(p.name));
    const parts = [this.title(), this.head.order.some((p) => p.scope === "fiber") && this.tabs(), declares("raw", "preprocessed") && this.traces.root,
      declares("responses") && this.responses.root, ...this.session(), this.quality, this.below];
    this.root.replaceChildren(...parts.filter(Boolean));
    for (const draw of this.drawings) draw();
    this.refreshBelow();
    await this.showFiber(this.view.fiber);
  }

  title() {
    const {facts, title, eid} = this.head, {links = []} = this.source.extras;
    const performance = facts.fraction_correct;
    const parts = [facts.lab, facts.n_trials === null ? null : counted(facts.n_trials, "trial"),
      performance === undefined || performance === null ? null : `${Math.round(100 * performance)} % correct`,
      facts.line || facts.strain, facts.task_protocol];
    return el("header", {class: "head"}, el("h2", {}, title || "Session without metadata"),
      el("span", {class: "links"}, links.filter(([, href]) => href).map(([text, href]) => link(href, text))),
      el("p", {class: "note"}, [...parts.filter(Boolean), ""].join(" · "), el("code", {}, eid)),
      this.head.missing.session ? missing(`Metadata: ${this.head.missing.session}`) : null);
  }

  tabs() {
    const tabs = this.head.recordings.map((recording, i) => {
      const target = recording.target_NM || recording.brain_region || "no target";
      const side = {l: "left", r: "right"}[recording.hemisphere] || "side unknown";
      return el("button", {type: "button", role: "tab", name: `fiber-${i}`, "aria-selected": String(i === this.view.fiber),
        title: `fiber ${i}: ${recording.name}, ${target}, ${side}`, onclick: () => this.showFiber(i)},
      el("i", {style: {background: this.head.style.targets[recording.target_NM] || "#8a949c"}}), recording.name,
      el("small", {}, ` ${target === recording.name ? "" : target + ", "}${side}`));
    });
    if (!tabs.length) return missing("The session names no fiber, so there is no signal to show.");
    this.tablist = el("nav", {class: "tabs", role: "tablist", "aria-label": "fibers"}, tabs);
    return this.tablist;
  }

  async showFiber(i) {
    this.changed({fiber: i});
    if (this.tablist) [...this.tablist.children].forEach((tab, k) => tab.setAttribute("aria-selected", String(k === i)));
    let panels = {};
    if (this.head.recordings.length) {
      try {
        panels = (await this.source.fiber(i)).panels;
      } catch (error) {
        if (error.name === "AbortError") return;
        panels = Object.fromEntries(this.head.order.filter((p) => p.scope === "fiber").map((p) => [p.name, {missing: error.message}]));
      }
      if (this.view.fiber !== i) return;
    } else {
      const why = this.head.missing.photometry || "no fiber";
      panels = Object.fromEntries(this.head.order.filter((p) => p.scope === "fiber").map((p) => [p.name, {missing: why}]));
    }
    this.traces.show(panels);
    this.traces.setPending(this.pending ? this.pending(i) : []);
    this.responses.show(panels.responses);
    this.more(panels);
    this.root.dataset.fiber = i;
  }

  more(panels) {
    const own = new Set(["raw", "preprocessed", "responses"]);
    const parts = this.head.order.filter((p) => p.scope === "fiber" && !own.has(p.name)).map((p) => this.place(p, panels[p.name]));
    this.quality.replaceChildren(...parts.map(([part]) => part));
    for (const [, draw] of parts) draw();
  }

  place(declared, panel) {
    const host = el("div", {class: "panel", id: `panel-${declared.name}`}, el("h4", {}, declared.title));
    if (!panel || panel.missing) {
      host.append(missing(panel ? panel.missing : "not made"));
      return [host, () => {}];
    }
    return [host, () => {
      if (!KINDS[declared.kind]) host.append(missing(`The page has no drawing of the kind ${declared.kind}.`));
      const plot = KINDS[declared.kind] ? KINDS[declared.kind](host, panel) : null;
      if (plot) this.plots.push(plot);
      if (panel.note) host.append(el("p", {class: "note"}, panel.note));
    }];
  }

  // panels of the whole session, together by the group of their stages
  session() {
    const declared = this.head.order.filter((p) => p.scope === "session"), groups = [...new Set(declared.map((p) => p.group))];
    this.drawings = [];
    return groups.map((group) => {
      const parts = declared.filter((p) => p.group === group).map((p) => this.place(p, this.head.panels[p.name]));
      this.drawings.push(...parts.map(([, draw]) => draw));
      const words = group.replaceAll("_", " "), title = words[0].toUpperCase() + words.slice(1);
      const section = el("section", {class: `panels ${group}`, "aria-label": words}, el("div", {class: "bar"}, el("h3", {}, title)),
        el("div", {class: "columns"}, parts.map(([part]) => part)));
      fit(() => this.plots, section);
      return section;
    });
  }

  refreshBelow() {
    const {checks, failures, analyses, files, labels} = this.source.extras;
    this.below.replaceChildren(...[labels ? labels() : null, checksSection(checks || this.head.checks, failures || this.head.failures),
      analyses ? analysesSection(analyses) : null, provenanceSection(this.head, files || "")].filter(Boolean));
  }
}
