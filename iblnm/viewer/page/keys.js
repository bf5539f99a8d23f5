// Everything by keyboard.
const HELP = [["n / p", "next, previous session"], ["[ / ]", "previous, next fiber"], ["+ / −", "zoom in, out"],
  ["← / →", "move in time"], ["0", "whole session"], ["m", "mark an artifact: drag, or give times in the form"], ["u", "z or dF/F"],
  ["s", "sort trials by the next key"], ["g", "compare by the next key"], ["b", "baseline on, off"], ["x", "mask of the next event on, off"],
  ["l", "to the labels"], ["/", "to the filters"], ["?", "this list"], ["drag", "zoom; double click: whole session; Ctrl + wheel: zoom; Shift + wheel: move"]];

function bindKeys(live) {
  const cycle = (name, values) => {
    const {responses, view} = live.page;
    if (responses.panel && !responses.panel.missing) responses.update({[name]: values[(values.indexOf(view[name]) + 1) % values.length]});
  };
  const flip = (name) => cycle(name, [true, false]);
  const fiber = (by) => {
    const n = live.page.head.recordings.length;
    if (n > 1) live.page.showFiber((live.page.view.fiber + by + n) % n);
  };
  const traces = () => live.page.traces;
  const actions = {
    n: () => live.choice.step(1), p: () => live.choice.step(-1), "[": () => fiber(-1), "]": () => fiber(1),
    "+": () => traces().zoom(0.5), "=": () => traces().zoom(0.5), "-": () => traces().zoom(2), "−": () => traces().zoom(2),
    ArrowLeft: () => traces().pan(-0.25), ArrowRight: () => traces().pan(0.25), 0: () => traces().span(null),
    m: () => traces().setMarking(!traces().marking),
    u: () => { live.page.changed({unit: live.page.view.unit === "z" ? "dff" : "z"}); traces().show(traces().panels); },
    s: () => cycle("sort", SORTS.map(([name]) => name)), g: () => cycle("group", (live.page.responses.panel?.groupings || []).map((g) => g.name)),
    b: () => flip("baseline"), x: () => flip("mask"),
    l: () => live.page.root.querySelector("#labels select").focus(), "/": () => live.choice.form.elements.subject.focus(), "?": () => help(),
  };
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input, select, textarea");
    if (event.key === "Escape") { document.activeElement.blur(); return; }
    if (field && !(field.type === "checkbox" && event.key.length === 1 && event.key !== " ")) return;
    if (event.ctrlKey || event.metaKey || event.altKey || !live.page || !live.page.traces.panels) return;
    const action = actions[event.key];
    if (action) { event.preventDefault(); action(); }
  });
}

function help() {
  const dialog = el("dialog", {onclose: () => dialog.remove()}, el("h3", {}, "Keys"), el("dl", {}, HELP.map(([k, text]) => [el("dt", {}, k), el("dd", {}, text)])),
    button("close", "close", () => dialog.close()));
  document.body.append(dialog);
  dialog.showModal();
}
