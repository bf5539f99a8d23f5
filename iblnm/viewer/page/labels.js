// Human labels: keep or drop a session or fiber, and windows of artifacts.
class Labels {
  // page: SessionPage; post(content) → {labels, labels_problem}
  constructor(page, found, who, post) {
    Object.assign(this, {page, post, who});
    this.root = el("section", {class: "labels", id: "labels"});
    this.take(found);
    this.form = this.makeForm();
    this.draw();
  }

  take({labels, labels_problem: problem}) {
    this.labels = labels;
    this.problem = problem;
  }

  windows(fiber) {
    return this.labels.filter((l) => l.verdict === "mask" && (l.fiber_idx === null || l.fiber_idx === fiber)).map((l) => [l.t0, l.t1]);
  }

  makeForm() {
    const field = (name, text, more) => el("label", {}, text, el("input", {name, ...more}));
    let stored = "";
    try { stored = localStorage.getItem("iblnm-who") || ""; } catch { /* no storage: asked for each time */ }
    this.of = el("select", {name: "of"});
    this.verdict = el("select", {name: "verdict", onchange: () => this.shape()},
      [["keep", "keep: its warnings do not count"], ["drop", "drop: not used in analyses"], ["mask", "mask: an artifact from … to"]]
        .map(([v, t]) => el("option", {value: v}, t)));
    this.told = el("output", {class: "told", role: "status"});
    return el("form", {class: "label", onsubmit: (event) => { event.preventDefault(); this.save(); }},
      el("label", {}, "of", this.of), el("label", {}, "label", this.verdict),
      field("t0", "from (s)", {type: "number", step: "any"}), field("t1", "to (s)", {type: "number", step: "any"}),
      field("why", "reason", {required: true, maxlength: "500"}),
      field("who", "who", {required: true, maxlength: "80", value: stored || this.who || ""}),
      el("button", {type: "submit", name: "save"}, "save label"), this.told);
  }

  shape() {
    const mask = this.verdict.value === "mask";
    for (const name of ["t0", "t1"]) {
      const input = this.form.elements[name];
      input.parentElement.hidden = !mask;
      input.required = mask;
    }
  }

  // a window drawn with the mouse
  propose(t0, t1) {
    this.of.value = String(this.page.view.fiber);
    this.verdict.value = "mask";
    this.shape();
    this.form.elements.t0.value = t0.toFixed(3);
    this.form.elements.t1.value = t1.toFixed(3);
    this.told.textContent = "give the reason and save";
    this.page.traces.setPending([...this.windows(this.page.view.fiber), [t0, t1]]);
    this.form.elements.why.focus();
  }

  draw() {
    const {recordings} = this.page.head, of = (l) => l.fiber_idx === null ? "session" : `fiber ${l.fiber_idx} ${(recordings[l.fiber_idx] || {name: ""}).name}`;
    const chosen = this.of.value;
    this.of.replaceChildren(el("option", {value: ""}, "the session"), ...recordings.filter((r) => r.fiber_idx !== null)
      .map((r) => el("option", {value: String(r.fiber_idx)}, `fiber ${r.fiber_idx} ${r.name}`)));
    this.of.value = chosen;
    this.shape();
    const rows = this.labels.map((l) => el("tr", {"data-verdict": l.verdict}, [of(l), l.verdict, l.verdict === "mask" ? `${seconds(l.t0)} to ${seconds(l.t1)} s` : "", l.why, l.who, l.when]
      .map((c) => el("td", {}, c)), el("td", {}, button("remove", `remove this ${l.verdict}`, () => this.send({...l, remove: true}), {name: "remove"}))));
    const table = el("table", {class: "facts"}, el("thead", {}, el("tr", {}, ["of", "label", "window", "reason", "who", "when", ""].map((h) => el("th", {scope: "col"}, h)))), el("tbody", {}, rows));
    const note = "Labels go to metadata/labels.csv. A mask makes samples missing when the session's preprocessed signal is made again; a keep or drop counts when the tables over all sessions are made again.";
    this.root.replaceChildren(el("div", {class: "bar"}, el("h3", {}, "Labels")), this.problem ? missing(this.problem) : "", rows.length ? table : el("p", {class: "note"}, "No label."), this.form, el("p", {class: "note"}, note));
    this.page.pending = (fiber) => this.windows(fiber);
    if (this.page.traces && this.page.traces.panels) this.page.traces.setPending(this.windows(this.page.view.fiber));
  }

  save() {
    const f = this.form.elements, mask = this.verdict.value === "mask";
    try { localStorage.setItem("iblnm-who", f.who.value); } catch { /* as above */ }
    return this.send({fiber_idx: this.of.value === "" ? null : Number(this.of.value), verdict: this.verdict.value, why: f.why.value, who: f.who.value,
      t0: mask ? Number(f.t0.value) : null, t1: mask ? Number(f.t1.value) : null});
  }

  async send(content) {
    try {
      this.take(await this.post(content));
      this.form.elements.why.value = "";
      this.told.textContent = content.remove ? "removed" : "saved";
      this.draw();
    } catch (error) {
      this.told.textContent = `not saved: ${error.message}`;
    }
  }
}
