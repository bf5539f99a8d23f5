// Which sessions: filters, the list of what is left, previous and next in it.
const STANDING = {fail: "failed checks or assets that could not be made", warn: "warnings", pass: "no failed check",
  "not evaluated": "no check was evaluated yet"};

class Choice {
  // on: {open(eid), filtered(filters)}
  constructor(root, listing, filters, on) {
    Object.assign(this, {root, listing, filters, on, outcomes: null});
    this.list = el("ol", {class: "list", "aria-label": "sessions"});
    this.count = el("output", {class: "count"});
    this.form = el("form", {class: "filters", onsubmit: (event) => event.preventDefault()});
    this.fill();
    root.replaceChildren(el("h1", {}, "Sessions"), this.form, el("div", {class: "group steps"},
      button("◀ previous", "previous session of the choice (p)", () => this.step(-1), {name: "previous"}),
      button("next ▶", "next session of the choice (n)", () => this.step(1), {name: "next"})), this.count, this.list,
      el("p", {class: "note hint"}, "n p session, [ ] fiber, + − ← → 0 zoom, m mark, s sort, g group, b x baseline and mask, ? keys"));
    this.list.addEventListener("scroll", () => this.more());
  }

  fill() {
    const {subject, lab, target, checks} = this.listing;
    const select = (name, text, names) => el("label", {}, text, el("select", {name, onchange: () => this.set(name)},
      el("option", {value: ""}, "any"), names.map((n) => el("option", {value: n}, n))));
    const day = (name, text) => el("label", {}, text, el("input", {type: "date", name, onchange: () => this.set(name)}));
    const check = el("select", {name: "check", onchange: () => this.set("check")}, el("option", {value: ""}, "any check"),
      Object.entries(checks).map(([asset, names]) => el("optgroup", {label: asset},
        names.map((n) => el("option", {value: n}, n.replaceAll("_", " "))))));
    const outcome = el("select", {name: "outcome", onchange: () => this.set("outcome")}, el("option", {value: ""}, "any outcome"),
      [["fail", "fail"], ["warn", "warn"], ["pass", "pass"], ["n", "not evaluated"]].map(([v, t]) => el("option", {value: v}, t)));
    this.form.replaceChildren(
      el("label", {class: "wide"}, "subject", el("input", {name: "subject", type: "search", list: "subjects", oninput: () => this.set("subject")})),
      el("datalist", {id: "subjects"}, subject[0].map((n) => el("option", {value: n}))),
      select("lab", "lab", lab[0]), select("target", "target", target[0]), day("from", "from"), day("to", "to"),
      el("label", {class: "wide"}, "outcome of", check), el("label", {class: "wide"}, "is", outcome),
      button("clear", "show all sessions", () => this.clear(), {name: "clear"}));
    for (const [name, value] of Object.entries(this.filters)) if (this.form.elements[name]) this.form.elements[name].value = value;
  }

  async set(name) {
    this.filters[name] = this.form.elements[name].value;
    if (name === "check") this.outcomes = null;
    await this.apply();
  }

  async clear() {
    this.form.reset();
    for (const name of FILTERS) this.filters[name] = "";
    this.outcomes = null;
    await this.apply();
  }

  async apply() {
    const {check} = this.filters;
    if (check && this.outcomes === null) {
      this.outcomes = (await getJson(`/api/checks/${encodeURIComponent(check)}`)).outcomes;
      if (this.filters.check !== check) return;
    }
    this.shown = this.chosen();
    this.draw();
    this.on.filtered(this.filters);
  }

  chosen() {
    const {eid, start, subject, lab, target, n_warn} = this.listing, f = this.filters;
    const wanted = f.subject.trim().toLowerCase(), atLab = lab[0].indexOf(f.lab), atTarget = target[0].indexOf(f.target);
    return eid.map((_, i) => i).filter((i) => {
      if (wanted && !(subject[0][subject[1][i]] || "").toLowerCase().includes(wanted) && !eid[i].startsWith(wanted)) return false;
      if (f.lab && lab[1][i] !== atLab) return false;
      if (f.target && !target[1][i].includes(atTarget)) return false;
      const day = start[i].slice(0, 10);
      if ((f.from && day < f.from) || (f.to && day > f.to)) return false;
      if (f.check && f.outcome) return f.outcome === "n" ? "n-".includes(this.outcomes[i]) : this.outcomes[i] === f.outcome[0];
      if (f.outcome === "warn") return n_warn[i] > 0;
      if (f.outcome === "fail") return this.standing(i) === "fail";
      if (f.outcome === "pass") return ["pass", "warn"].includes(this.standing(i));
      if (f.outcome === "n") return this.standing(i) === "not evaluated";
      return true;
    }).reverse();
  }

  standing(i) {
    const {n_fail, n_warn, n_pass, n_broken} = this.listing;
    if (n_fail[i] || n_broken[i]) return "fail";
    return n_warn[i] ? "warn" : n_pass[i] ? "pass" : "not evaluated";
  }

  draw() {
    this.list.replaceChildren();
    this.more(true);
    this.mark();
  }

  more(force = false) {
    const {list, shown} = this;
    if (!force && list.scrollTop + list.clientHeight < list.scrollHeight - 300) return;
    const from = list.children.length, upTo = Math.max(from + 80, this.position() + 20);
    list.append(...shown.slice(from, upTo).map((i) => this.item(i)));
  }

  item(i) {
    const {eid, start, subject, type, target} = this.listing, standing = this.standing(i);
    const href = address(eid[i], this.view ? this.view() : {}, this.filters);
    return el("li", {"data-eid": eid[i]}, el("a", {href, title: eid[i], onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.on.open(eid[i]);
    }}, el("i", {class: standing.replace(" ", "-"), title: STANDING[standing]}, GLYPHS[standing]), el("b", {}, subject[0][subject[1][i]] || "no subject"),
    el("span", {}, start[i].slice(0, 10) || "no date"), el("small", {}, [type[0][type[1][i]], target[1][i].map((k) => target[0][k]).join(", ")].filter(Boolean).join(" · "))));
  }

  position() {
    return this.shown.findIndex((i) => this.listing.eid[i] === this.current);
  }

  mark() {
    const at = this.position(), all = this.listing.eid.length;
    if (at >= this.list.children.length) this.more(true);
    for (const item of this.list.children) item.classList.toggle("current", item.dataset.eid === this.current);
    const current = this.list.querySelector(".current");
    if (current) current.scrollIntoView({block: "nearest"});
    this.count.textContent = `${at < 0 ? "" : `${at + 1} of `}${counted(this.shown.length, "session")}${this.shown.length < all ? ` (${all} in all)` : ""}`;
  }

  step(by) {
    const at = this.position(), next = at < 0 ? 0 : at + by;
    if (this.shown[next] !== undefined) this.on.open(this.listing.eid[this.shown[next]]);
  }
}
