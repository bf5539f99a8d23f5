// The address names session, view and choice, so that it can be sent to a colleague.
const FLAGS = ["baseline", "mask"], NAMES = ["unit", "sort", "group"];
const FILTERS = ["subject", "lab", "target", "from", "to", "check", "outcome"];

function readAddress() {
  const query = new URLSearchParams(location.search), view = {}, filters = {};
  for (const name of NAMES) if (query.has(name)) view[name] = query.get(name);
  for (const name of FLAGS) if (query.has(name)) view[name] = query.get(name) === "1";
  if (query.has("fiber")) view.fiber = Number(query.get("fiber")) || 0;
  const [t0, t1] = (query.get("t") || "").split("_").map(Number);
  if (query.get("t") && t1 > t0) Object.assign(view, {t0, t1});
  for (const name of FILTERS) filters[name] = query.get(name) || "";
  return {eid: (location.pathname.match(/^\/sessions\/([0-9a-f-]{36})$/i) || [])[1] || null, view, filters};
}

function address(eid, view, filters) {
  const query = new URLSearchParams();
  for (const name of FILTERS) if (filters[name]) query.set(name, filters[name]);
  for (const name of NAMES) if (view[name] !== undefined && view[name] !== DEFAULTS[name]) query.set(name, view[name]);
  for (const name of FLAGS) if (view[name] !== undefined && view[name] !== DEFAULTS[name]) query.set(name, view[name] ? "1" : "0");
  if (view.fiber) query.set("fiber", view.fiber);
  if (view.t0 !== null && view.t0 !== undefined) query.set("t", `${view.t0.toFixed(3)}_${view.t1.toFixed(3)}`);
  const text = query.toString();
  return `/sessions/${eid}${text ? "?" + text : ""}`;
}
