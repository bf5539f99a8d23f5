// Events and start.
body.addEventListener("click", (event) => {
  const cell = event.target.closest("td[data-r]");
  if (!cell) return;
  active = { row: Number(cell.dataset.r), col: Number(cell.dataset.c) };
  mark(true);
  openCell(active.row, active.col);
});
byId("matrix").addEventListener("focusin", (event) => {
  const cell = event.target.closest("[data-r]");
  if (cell) active = { row: Number(cell.dataset.r), col: Number(cell.dataset.c) };
});
body.addEventListener("mouseover", (event) => {
  const cell = event.target.closest("td[data-r]");
  for (const old of head.querySelectorAll(".hover")) old.classList.remove("hover");
  if (!cell) return;
  head.querySelector(`th[data-c="${cell.dataset.c}"]`)?.classList.add("hover");
  const c = visible[Number(cell.dataset.c) - META.length];
  const session = view[Number(cell.dataset.r)];
  if (c !== undefined && session) {
    const told = message(session, c) || `value ${shown(checks[c].values[session.i])}`;
    cell.title = `${session.subject} ${session.start.slice(0, 10)}\n${checks[c].name}: `
      + `${OUTCOME[session.outcomes[c]]}\n${told}`;
  }
});
let waiting = 0;
function filter(event) {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    readForm();
    if (state.check && event.target.name === "check" && !state.outcome) {
      form.elements.outcome.value = "wf";
      readForm();
    }
    update();
    const k = visible.findIndex((c) => checks[c].name === state.check);
    if (event.target.name === "check" && k >= 0) reveal(-1, META.length + k);
  }, event.target.type === "search" ? 120 : 0);
}
form.addEventListener("input", filter);
form.addEventListener("change", filter);
byId("tools").addEventListener("change", filter);
form.addEventListener("reset", () => setTimeout(() => { readForm(); update(); }));
form.addEventListener("submit", (event) => event.preventDefault());
let frame = 0;
scroller.addEventListener("scroll", () => {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => paintRows());
});
addEventListener("resize", () => { painted = [-1, -1]; paintRows(); });
addEventListener("beforeprint", () => paintRows(true));
addEventListener("afterprint", () => { painted = [-1, -1]; paintRows(); });
addEventListener("hashchange", () => { readHash(); update(); reopen(); });

const option = (value, text) => make("option", { value, textContent: text });
for (const [name, values] of [["subject", stored.subject[0]], ["target", targetNames],
  ["lab", stored.lab[0]], ["type", stored.type[0]], ["check", checks.map((x) => x.name)]]) {
  form.elements[name].append(option("", "any"), ...values.map((v) => option(v, v)));
}
form.elements.standing.append(option("", "any"),
  ...Object.entries(STANDING).map(([key, [name]]) => option(key, name)));
byId("built").textContent = `built ${data.built}`;
readHash();
update();
reopen();
