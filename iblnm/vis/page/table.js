// Totals and the table; only the rows in sight exist.
function paintTotals() {
  const ran = view.filter((s) => s.ran);
  const share = (n, of) => (of ? `${Math.round((100 * n) / of)} %` : "–");
  const strict = ran.filter((s) => s.strict).length;
  const counts = Object.fromEntries(Object.keys(STANDING).map((key) => [key, 0]));
  for (const session of view) counts[session.standing] += 1;
  const broken = view.filter((s) => s.failures.length).length;
  const old = view.filter((s) => s.stale.length).length;
  const entries = [
    ["sessions", view.length, view.length < sessions.length ? `of ${sessions.length}` : "",
      "Sessions that fit the filters"],
    ...Object.entries(STANDING).map(([key, [name, title]]) => [name, counts[key],
      key === "none" ? "" : share(counts[key], view.length)
        + (key === "failure" && broken ? `, ${broken} of an asset` : ""), title]),
    ["pass all BLOCK and ERROR checks", share(strict, ran.length),
      `${strict} of ${ran.length}`,
      "Among evaluated sessions; warnings and failures of assets without checks do not count, "
      + "and a check that did not run is not passed"],
    ...(data.stale.rows.length ? [["out of date", old, share(old, view.length),
      "Sessions with an output made with other settings, methods or inputs: iblnm batch --stale "
      + "makes these again; search for: out of date"]] : []),
  ];
  byId("totals").replaceChildren(...entries.map(([name, value, more, title]) =>
    make("div", { title }, make("dt", { textContent: name }),
      make("dd", {}, String(value), " ", make("small", { textContent: more })))));
  const colors = { failure: "fail", incomplete: "none-ink", warnings: "warn", clean: "pass" };
  const bar = byId("share");
  bar.replaceChildren(...Object.entries(colors).map(([key, color]) => {
    const part = make("i", {});
    part.style.width = `${view.length ? (100 * counts[key]) / view.length : 0}%`;
    part.style.background = `var(--${color})`;
    return part;
  }));
  bar.setAttribute("aria-label",
    Object.entries(STANDING).map(([key, [name]]) => `${counts[key]} ${name}`).join(", "));
}

function headCell(col, key, title, className, label) {
  const button = make("button", { type: "button", title, tabIndex: -1 }, ...label);
  button.addEventListener("click", () => sortBy(key));
  const cell = make("th", { className, scope: "col" }, button);
  Object.assign(cell.dataset, { r: -1, c: col, key });
  const sorted = state.sort === key;
  const ways = { asc: "ascending", desc: "descending", worst: "other" };
  cell.setAttribute("aria-sort", sorted ? ways[state.dir] || "none" : "none");
  cell.classList.toggle("sorted", sorted);
  return cell;
}

const arrow = (key) => (state.sort !== key ? ""
  : { asc: " ▲", desc: " ▼", worst: " !" }[state.dir] || "");

function paintHead(hits) {
  const asset = (k) => (k in visible ? checks[visible[k]].asset : "");
  const alone = (k) => asset(k) !== asset(k - 1) && asset(k) !== asset(k + 1);
  const widths = [...META.map((m) => m.width), ...visible.map((_, k) => (alone(k) ? 40 : 26))];
  byId("columns").replaceChildren(...widths.map((width) => {
    const col = make("col", {});
    col.style.width = `${width}px`;
    return col;
  }));
  byId("matrix").style.width = `${widths.reduce((a, b) => a + b, 0)}px`;
  const assets = make("tr", { className: "assets" },
    make("th", { className: "stick0 meta", colSpan: 2 }),
    make("th", { className: "meta", colSpan: META.length - 2 }));
  const names = make("tr", { className: "names" });
  const counts = make("tr", { className: "counts" });
  META.forEach((meta, col) => {
    const stick = col < 2 ? ` stick${col}` : "";
    names.append(headCell(col, meta.key, `Sort by ${meta.title.toLowerCase()}`, `meta${stick}`,
      [meta.title + arrow(meta.key)]));
    const label = col === 0 ? "Problems per check" : "";
    counts.append(make("th", { className: `meta${stick}`, textContent: label,
      colSpan: 1 }));
  });
  counts.firstChild.colSpan = 2;
  counts.children[1].remove();
  counts.firstChild.className = "meta stick0";
  visible.forEach((c, k) => {
    const check = checks[c];
    const first = asset(k - 1) !== check.asset;
    if (first) {
      const run = visible.slice(k).findIndex((d) => checks[d].asset !== check.asset);
      const span = run < 0 ? visible.length - k : run;
      assets.append(make("th", { className: "asset first", scope: "colgroup", colSpan: span,
        textContent: alone(k) ? "" : check.asset, title: check.asset }));
    }
    const edge = first ? " first" : "";
    names.append(headCell(META.length + k, check.name,
      `${check.name} (${check.severity}): ${check.text}`, `check${edge}`,
      [make("span", {}, ...(alone(k) ? [make("em", { textContent: check.asset })] : []),
        check.name + arrow(check.name)),
        make("b", { className: check.severity, textContent: check.severity[0] })]));
    counts.append(make("th", { className: (hits[c] ? "some" : "") + edge,
      textContent: hits[c] || "0",
      title: `${hits[c]} of ${view.length} sessions fail ${check.name}` }));
  });
  head.replaceChildren(assets, names, counts);
  byId("matrix").setAttribute("aria-rowcount", view.length + 3);
  byId("matrix").setAttribute("aria-colcount", META.length + visible.length);
}

function gap(rows) {
  const row = make("tr", { className: "gap" }, make("td", { colSpan: META.length }));
  row.style.height = `${rows * ROW}px`;
  row.setAttribute("aria-hidden", "true");
  return row;
}

function rowOf(session, r) {
  const row = make("tr", {});
  row.setAttribute("aria-rowindex", r + 4);
  const put = (col, className, ...children) => {
    const cell = make("td", { className, tabIndex: -1 }, ...children);
    cell.dataset.r = r;
    cell.dataset.c = col;
    row.append(cell);
    return cell;
  };
  const label = session.label ? [make("em", { textContent: session.label })] : [];
  put(0, "stick0", session.subject || "–", ...label).title = session.subject;
  put(1, "stick1 date", session.start.slice(0, 10) || "–");
  put(2, "", session.lab || "–");
  put(3, "", session.type || "–");
  put(4, "", ...(session.targets.length ? session.targets.flatMap((name, k) => {
    const dot = make("span", { className: "dot" });
    if (data.colors[name]) dot.style.background = data.colors[name];
    return k ? [" ", dot, name] : [dot, name];
  }) : ["–"])).title = session.target;
  const tallies = [["f", session.fails], ["w", session.warns]].filter(([, n]) => n);
  const { failures } = session;
  const badge = failures.length ? [make("b", { className: "failure",
    textContent: failures[0].asset + (failures.length > 1 ? ` +${failures.length - 1}` : ""),
    title: failures.map(({ asset, type }) => `${asset} could not be made: ${type}`).join("\n"),
  })] : [];
  put(5, "", ...tallies.map(([code, n]) =>
    make("span", { className: `tally ${code}`, textContent: ` ${n}` })), ...badge);
  visible.forEach((c, k) => {
    const edge = k === 0 || checks[visible[k - 1]].asset !== checks[c].asset ? " first" : "";
    const code = session.outcomes[c];
    const cell = put(META.length + k, `o ${code}${edge}`);
    cell.setAttribute("aria-label", `${checks[c].name}: ${OUTCOME[code]}`);
    if (state.open === `${session.eid}~${checks[c].name}`) cell.classList.add("open");
  });
  return row;
}

function paintRows(everything = false) {
  const top = Math.floor(scroller.scrollTop / ROW);
  const fit = Math.ceil(scroller.clientHeight / ROW);
  const first = everything ? 0 : Math.max(0, top - AHEAD);
  const last = everything ? view.length : Math.min(view.length, top + fit + AHEAD);
  const covered = painted[0] <= Math.max(0, top - 2)
    && painted[1] >= Math.min(view.length, top + fit + 2);
  if (painted[0] >= 0 && covered && !everything) return;
  painted = [first, last];
  const hadFocus = body.contains(document.activeElement);
  const rows = view.slice(first, last).map((session, k) => rowOf(session, first + k));
  body.replaceChildren(gap(first), ...rows, gap(view.length - last));
  mark(hadFocus);
}
