// Checks, analyses, provenance: what the session is judged by and made from.
const GLYPHS = {pass: "✓", warn: "!", fail: "✕", "not evaluated": "–"};
const RANK = {fail: 0, warn: 1, "not evaluated": 2, pass: 3};

function checksSection(checks, failures) {
  const rows = [...checks].sort((a, b) => (RANK[a.outcome] - RANK[b.outcome]));
  const row = (c) => el("tr", {"data-check": c.name, class: c.outcome.replace(" ", "-")},
    el("td", {class: "outcome"}, el("i", {"aria-hidden": "true"}, GLYPHS[c.outcome]), ` ${c.outcome}`),
    el("td", {title: c.text || ""}, c.name.replaceAll("_", " ")), el("td", {}, c.asset), el("td", {}, c.severity),
    el("td", {class: "n"}, number(c.value)), el("td", {class: "n"}, number(c.limit)), el("td", {}, c.unit || ""),
    el("td", {}, c.message || "", c.remedy ? el("p", {class: "note"}, c.remedy) : ""));
  const table = (part) => el("table", {class: "checks"}, el("thead", {}, el("tr", {},
    ["outcome", "check", "asset", "severity", "value", "limit", "unit", "what was found"].map((h) => el("th", {scope: "col"}, h)))),
    el("tbody", {}, part.map(row)));
  const open = rows.filter((c) => c.outcome !== "pass"), passed = rows.filter((c) => c.outcome === "pass");
  const section = el("section", {class: "checks", id: "checks"}, el("div", {class: "bar"}, el("h3", {}, "Checks"),
    el("span", {class: "note"}, rows.length ? Object.keys(RANK).map((o) => `${rows.filter((c) => c.outcome === o).length} ${o}`).join(", ") : "")));
  if (failures && failures.length) {
    section.append(el("table", {class: "checks"}, el("thead", {}, el("tr", {}, ["could not be made", "error", "message"].map((h) => el("th", {scope: "col"}, h)))),
      el("tbody", {}, failures.map((f) => el("tr", {class: "fail"}, el("td", {}, f.asset), el("td", {}, f.error_type), el("td", {}, f.error_message))))));
  }
  if (!rows.length) section.append(missing("No check was evaluated for this session yet."));
  if (open.length) section.append(table(open));
  if (passed.length) section.append(el("details", {open: !open.length}, el("summary", {}, counted(passed.length, "check") + " passed"), table(passed)));
  return section;
}

function analysesSection(analyses) {
  const section = el("section", {id: "analyses"}, el("div", {class: "bar"}, el("h3", {}, "Analyses that use this session")));
  if (!analyses.length) section.append(missing("No analysis of the cohort was made yet."));
  else section.append(factsTable(["results", "used", "why not, or which tables hold it"], analyses.map((a) => [a.folder,
    a.used === null ? "unknown" : a.used ? "yes" : "no", a.used ? a.tables.join(", ") : a.used === null ? a.why : `left out by: ${a.why}`])));
  return section;
}

function provenanceSection(head, files) {
  const rows = Object.entries(head.provenance).map(([asset, origin]) => [asset,
    (origin.inputs || []).map((i) => `${i.name || ""}${i.revision ? " #" + i.revision + "#" : ""} ${i.hash ? String(i.hash).slice(0, 12) : ""}`).join("; "),
    Object.entries(origin.software || {}).filter(([, v]) => v).map(([k, v]) => `${k} ${v}`).join(", "),
    Object.entries(origin.parameters || {}).map(([k, v]) => `${k} ${typeof v === "object" ? JSON.stringify(v) : v}`).join(", ")]);
  return el("section", {id: "provenance"}, el("details", {}, el("summary", {}, el("h3", {}, "Where it comes from")),
    el("p", {class: "note"}, files), rows.length ? factsTable(["asset", "inputs", "software", "parameters"], rows) : missing("No provenance is stored.")));
}
