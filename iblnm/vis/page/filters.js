// State of the page, kept in the address; which sessions are shown, in which order.
const byId = (id) => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties || {});
  element.append(...children);
  return element;
};
const [form, scroller, head, body, panel] =
  ["filters", "scroller", "head", "body", "panel"].map(byId);
const DEFAULTS = { sort: "start", dir: "desc" };
const NAMES = ["q", "subject", "target", "lab", "type", "from", "to", "standing", "check",
  "outcome"];
const TOGGLES = ["problems", "columns"];
let state = {};
let view = [];       // sessions that fit the filters, in order
let visible = [];    // columns shown: positions in checks
let active = { row: 0, col: 0 };
let painted = [-1, -1];

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  state = { ...DEFAULTS };
  for (const name of [...NAMES, ...TOGGLES, "sort", "dir", "open"]) {
    if (given.has(name)) state[name] = given.get(name);
  }
  for (const name of NAMES) form.elements[name].value = state[name] || "";
  for (const name of TOGGLES) form.elements[name].checked = state[name] === "1";
  readForm(); // an address may name a mouse that is not on this page
}

function writeHash() {
  const kept = Object.entries(state).filter(([k, v]) => v && DEFAULTS[k] !== v);
  if (state.sort !== DEFAULTS.sort && state.dir === DEFAULTS.dir) kept.push(["dir", state.dir]);
  const hash = new URLSearchParams(kept).toString();
  if (hash !== location.hash.slice(1)) {
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }
}

function readForm() {
  for (const name of NAMES) state[name] = form.elements[name].value;
  for (const name of TOGGLES) state[name] = form.elements[name].checked ? "1" : "";
}

function fits(session) {
  if (state.subject && session.subject !== state.subject) return false;
  if (state.target && !session.targets.includes(state.target)) return false;
  if (state.lab && session.lab !== state.lab) return false;
  if (state.type && session.type !== state.type) return false;
  const day = session.start.slice(0, 10);
  if (state.from && day < state.from) return false;
  if (state.to && (!day || day > state.to)) return false;
  if (state.standing && session.standing !== state.standing) return false;
  if (state.problems && !session.problems) return false;
  const c = checks.findIndex((check) => check.name === state.check);
  const wanted = state.outcome || "";
  if (wanted) {
    const codes = c >= 0 ? session.outcomes[c]
      : session.outcomes + (session.failures.length ? "f" : "");
    if (![...wanted].some((code) => codes.includes(code))) return false;
  }
  const query = (state.q || "").trim().toLowerCase();
  return !query || query.split(/\s+/).every((word) => words(session).includes(word));
}

const byText = (a, b) => (a === b ? 0 : a === "" ? 1 : b === "" ? -1 : a < b ? -1 : 1);

function order() {
  const c = checks.findIndex((check) => check.name === state.sort);
  const sign = state.dir === "desc" ? -1 : 1;
  const values = c < 0 ? null : checks[c].values;
  const byValue = (a, b, way) => {
    const [x, y] = [values[a.i], values[b.i]];
    if (x === null || y === null) return (x === null) - (y === null);
    return way * (x - y);
  };
  const key = META.some((m) => m.key === state.sort) ? state.sort : DEFAULTS.sort;
  const main = (a, b) => {
    if (c >= 0 && state.dir === "worst") {
      return RANK[b.outcomes[c]] - RANK[a.outcomes[c]] || byValue(a, b, -1);
    }
    if (c >= 0) return byValue(a, b, sign);
    if (key === "problems") return sign * (a.problems - b.problems);
    return a[key] === "" || b[key] === "" ? byText(a[key], b[key])
      : sign * byText(a[key], b[key]);
  };
  view.sort((a, b) => main(a, b) || byText(a.subject, b.subject) || byText(b.start, a.start)
    || byText(a.eid, b.eid));
}

function sortBy(key) {
  const isCheck = checks.some((check) => check.name === key);
  const ways = isCheck ? ["worst", "desc", "asc"]
    : key === "problems" || key === "start" ? ["desc", "asc"] : ["asc", "desc"];
  const next = state.sort === key ? (ways.indexOf(state.dir) + 1) % ways.length : 0;
  state.sort = key;
  state.dir = ways[next];
  update();
  mark(active.row < 0);
}

function update({ keepScroll = false } = {}) {
  view = sessions.filter(fits);
  order();
  const hits = checks.map((_, c) => {
    let n = 0;
    for (const session of view) {
      const code = session.outcomes[c];
      if (code === "f" || code === "w") n += 1;
    }
    return n;
  });
  visible = checks.map((_, c) => c).filter((c) => !state.columns || hits[c] > 0);
  if (!keepScroll) scroller.scrollTop = 0;
  active.row = Math.min(active.row, Math.max(view.length - 1, 0));
  active.col = Math.min(active.col, META.length + visible.length - 1);
  paintHead(hits);
  paintTotals();
  painted = [-1, -1];
  paintRows();
  for (const name of NAMES) form.elements[name].classList.toggle("on", Boolean(state[name]));
  byId("empty").hidden = view.length > 0;
  // a data address, because a page opened as a file has no other way to hand over a file
  byId("save").href = `data:text/plain;charset=utf-8,${
    encodeURIComponent(view.map((session) => `${session.eid}\n`).join(""))}`;
  writeHash();
}
