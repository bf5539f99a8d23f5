// The numbers of one cell, and keyboard.
const cellAt = (r, c) => (r < 0 ? head.querySelector(`th[data-c="${c}"] button`)
  : body.querySelector(`td[data-r="${r}"][data-c="${c}"]`));

function mark(focus) {
  for (const old of byId("matrix").querySelectorAll('[tabindex="0"]')) old.tabIndex = -1;
  const cell = cellAt(active.row, active.col);
  if (cell) {
    cell.tabIndex = 0;
    if (focus) cell.focus({ preventScroll: true });
  }
}

function moveTo(row, col) {
  active = { row: Math.max(-1, Math.min(view.length - 1, row)),
    col: Math.max(0, Math.min(META.length + visible.length - 1, col)) };
  if (active.row >= 0) {
    const room = scroller.clientHeight - head.offsetHeight - ROW;
    const y = active.row * ROW;
    if (y < scroller.scrollTop) scroller.scrollTop = y;
    if (y > scroller.scrollTop + room) scroller.scrollTop = y - room;
    paintRows();
  }
  mark(true);
  reveal(active.row, active.col);
}

// scroll sideways until a cell is beside the columns that stay
function reveal(row, col) {
  const cell = cellAt(row, col);
  if (cell && col > 1) {
    const left = META[0].width + META[1].width;
    const box = cell.getBoundingClientRect(), frame = scroller.getBoundingClientRect();
    if (box.left < frame.left + left) scroller.scrollLeft -= frame.left + left - box.left;
    if (box.right > frame.right - 16) scroller.scrollLeft += box.right - frame.right + 16;
  }
}

byId("matrix").addEventListener("keydown", (event) => {
  const page = Math.max(1, Math.floor((scroller.clientHeight - head.offsetHeight) / ROW) - 1);
  const { row, col } = active;
  const far = event.ctrlKey || event.metaKey;
  const moves = {
    ArrowUp: [row - 1, col], ArrowDown: [row + 1, col], ArrowLeft: [row, col - 1],
    ArrowRight: [row, col + 1], PageUp: [Math.max(0, row - page), col],
    PageDown: [row + page, col], Home: [far ? 0 : row, 0], End: [far ? view.length : row, 1e6],
  };
  if (moves[event.key]) {
    event.preventDefault();
    moveTo(...moves[event.key]);
  } else if ((event.key === "Enter" || event.key === " ") && row >= 0) {
    event.preventDefault();
    openCell(row, col);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !panel.hidden) closePanel();
});

function openCell(row, col) {
  const session = view[row];
  if (!session) return;
  const c = col < META.length ? -1 : visible[col - META.length];
  openPanel(session, c);
  reveal(row, col);
}

function openPanel(session, c) {
  state.open = `${session.eid}~${c < 0 ? "" : checks[c].name}`;
  paintPanel(session, c);
  for (const old of body.querySelectorAll(".open")) old.classList.remove("open");
  const row = view.indexOf(session), k = visible.indexOf(c);
  if (k >= 0) body.querySelector(`td[data-r="${row}"][data-c="${META.length + k}"]`)
    ?.classList.add("open");
  writeHash();
  paintRows();
}

function closePanel() {
  panel.hidden = true;
  state.open = "";
  for (const old of body.querySelectorAll(".open")) old.classList.remove("open");
  writeHash();
  paintRows();
  mark(true);
}

const address = (asset, query) =>
  `${data.dagster}/assets/${encodeURIComponent(asset)}?${new URLSearchParams(query)}`;
const link = (href, text) =>
  make("a", { href, textContent: text, target: "_blank", rel: "noopener noreferrer" });
const runLink = (session, c) => {
  const run = data.runs[`${session.i}~${c}`];
  return run
    ? link(`${data.dagster}/runs/${run}?${new URLSearchParams({ logs: checks[c].name })}`,
      "This check of this session in Dagster")
    : link(`${data.dagster}/runs?${new URLSearchParams({
      "q[0]": `tag:dagster/partition=${session.eid}` })}`, "Runs of this session in Dagster");
};
const list = (entries) => make("dl", {}, ...entries.flatMap(([name, value, className]) => [
  make("dt", { textContent: name }),
  make("dd", { textContent: value, className: className || "" })]));

function paintPanel(session, c) {
  const parts = [make("button", { type: "button", className: "close", textContent: "✕",
    title: "Close (Escape)", onclick: closePanel })];
  parts[0].setAttribute("aria-label", "Close");
  if (c >= 0) {
    const check = checks[c], code = session.outcomes[c];
    const unit = (x) => (x === null ? "none" : `${shown(x)}${check.unit ? ` ${check.unit}` : ""}`);
    parts.push(
      make("h2", { id: "panel-title", textContent: check.name }),
      make("span", { className: `verdict ${code}`, textContent: OUTCOME[code] }),
      make("p", { className: "message", textContent: message(session, c) }),
      list([["value", unit(check.values[session.i]), "number"],
        ["limit", unit(check.limits[session.i]), "number"],
        ["severity", check.severity], ["asset", check.asset]]),
      make("p", { className: "text", textContent: check.text }),
      ...(check.remedy ? [make("h3", { textContent: "What to do" }),
        make("p", { className: "text", textContent: check.remedy })] : []),
      ...(check.cohort ? [] : [runLink(session, c)]),
      link(check.cohort ? address(check.asset, { view: "checks" })
        : address(check.asset, { view: "partitions", partition: session.eid }),
      `${check.asset} of this session in Dagster`),
      link(address(check.asset, { view: "checks", checkDetail: check.name }),
        "This check in Dagster, all sessions"),
      ...(check.page ? [link(check.page, "This rule in the documentation")] : []),
      make("h3", { textContent: "Session" }));
  } else {
    parts.push(make("h2", { id: "panel-title",
      textContent: `${session.subject} ${session.start.slice(0, 10)}` }));
  }
  parts.push(
    list([["subject", session.subject || "–"], ["start", session.start || "–"],
      ["lab", session.lab || "–"], ["type", session.type || "–"],
      ["target", session.target || "–"], ["label", session.label || "none"],
      ["eid", session.eid], ["last check", session.evaluated.replace("T", " ") || "–"]]),
    link(address("session", { view: "partitions", partition: session.eid }),
      "Session in Dagster"),
    link(`${data.viewer}/sessions/${session.eid}`, "Session in the viewer"));
  if (data.reports[session.i] === "1")
    parts.push(link(`../sessions/${session.eid}.html`, "Report of the session"));
  if (session.failures.length) {
    parts.push(
      make("h3", { textContent: `Could not be made (${session.failures.length})` }),
      make("ul", { className: "failures" }, ...session.failures.map(({ asset, type, text }) =>
        make("li", {}, make("b", { className: "failure", textContent: asset }), ` ${type}`,
          make("p", { textContent: text }),
          link(address(asset, { view: "partitions", partition: session.eid }),
            `${asset} of this session in Dagster`)))));
  }
  if (session.stale.length) {
    parts.push(
      make("h3", { textContent: `Out of date (${session.stale.length})` }),
      make("ul", { className: "failures" }, ...session.stale.map(({ asset, why }) =>
        make("li", {}, make("b", { textContent: asset }), ` ${why}`))),
      make("p", { className: "text", textContent: "iblnm batch --stale makes these again." }));
  }
  const others = checks.map((_, d) => d)
    .filter((d) => d !== c && "wf".includes(session.outcomes[d]))
    .sort((a, b) => RANK[session.outcomes[b]] - RANK[session.outcomes[a]]);
  parts.push(make("h3", { textContent: others.length
    ? `${c < 0 ? "Failed checks" : "Other failed checks"} of this session (${others.length})`
    : `No ${c < 0 ? "" : "other "}failed checks` }));
  parts.push(make("ul", {}, ...others.map((d) => make("li", {},
    make("button", { type: "button", onclick: () => openPanel(session, d) },
      make("i", { className: session.outcomes[d] }),
      make("span", {}, checks[d].name,
        make("small", { textContent: message(session, d) })))))));
  panel.replaceChildren(...parts);
  panel.hidden = false;
  panel.scrollTop = 0;
}

function reopen() {
  const [eid, name] = (state.open || "").split("~");
  const session = sessions.find((s) => s.eid === eid);
  if (!session) {
    panel.hidden = true;
    return;
  }
  const c = checks.findIndex((check) => check.name === name);
  paintPanel(session, c);
  const row = view.indexOf(session), k = visible.indexOf(c);
  if (row >= 0) moveTo(row, k >= 0 ? META.length + k : 0);
}
