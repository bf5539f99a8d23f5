// The sessions and checks of the page, unpacked.
const data = JSON.parse(document.getElementById("data").textContent);
const checks = data.checks;
const nChecks = checks.length;
const OUTCOME = { p: "pass", w: "warn", f: "fail", e: "not evaluated", n: "not run" };
const RANK = { f: 4, w: 3, n: 2, e: 1, p: 0 };
const ROW = 24, AHEAD = 12;
const STANDING = {
  failure: ["with a failure",
    "A BLOCK or ERROR check failed, or an asset could not be made (a damaged file, for example)"],
  incomplete: ["not run completely",
    "Nothing failed, but some checks did not run: no such data, or not run yet"],
  warnings: ["with warnings only", "Nothing is missing, and only WARN checks failed"],
  clean: ["without problems", "No check failed, nothing is missing, and all assets could be made"],
  none: ["not run", "No check has run"],
};
const META = [
  { key: "subject", title: "Subject", width: 132 },
  { key: "start", title: "Date", width: 92 },
  { key: "lab", title: "Lab", width: 90 },
  { key: "type", title: "Type", width: 74 },
  { key: "target", title: "Target", width: 154 },
  { key: "problems", title: "Problems",
    width: data.failures.length ? 196 : 96 },
];

const number = (x) => (typeof x === "string" ? Number(x) : x);
const running = (steps) => { let sum = 0; return steps.map((step) => (sum += step)); };
const unpack = (packed, n) => {
  const values = new Array(n).fill(number(packed.usual));
  running(packed.steps).forEach((i, k) => { values[i] = number(packed.others[k]); });
  return values;
};
const column = ([names, codes], i) => (codes[i] < 0 ? "" : names[codes[i]]);

const stored = data.sessions;
const [targetNames, targetsOf] = stored.target;
const failuresOf = new Map();
for (const [i, asset, type, text] of data.failures) {
  failuresOf.set(i, [...(failuresOf.get(i) || []), { asset, type, text }]);
}
const staleOf = new Map();
for (const [i, asset, reason] of data.stale.rows) {
  staleOf.set(i, [...(staleOf.get(i) || []),
    { asset: data.stale.assets[asset], why: data.stale.reasons[reason] }]);
}
const sessions = stored.eid.map((eid, i) => {
  const outcomes = data.outcomes.substr(i * nChecks, nChecks);
  const failures = failuresOf.get(i) || [];
  let fails = 0, warns = 0;
  for (const code of outcomes) {
    if (code === "f") fails += 1;
    if (code === "w") warns += 1;
  }
  const standing = column(stored.standing, i);
  const targets = targetsOf[i].map((k) => targetNames[k]);
  return {
    i, eid, outcomes, failures, fails, warns, standing, targets, stale: staleOf.get(i) || [],
    ran: stored.ran[i] === "1", strict: stored.strict[i] === "1",
    subject: column(stored.subject, i), start: stored.start[i], lab: column(stored.lab, i),
    type: column(stored.type, i), label: column(stored.label, i),
    evaluated: column(stored.evaluated, i), target: targets.join(", "),
    problems: (fails + failures.length) * 1000 + warns,
  };
});
for (const check of checks) {
  check.values = unpack(check.value, sessions.length);
  check.limits = unpack(check.limit, sessions.length);
}
const textOf = new Map();
running(data.messages.cells).forEach((cell, k) => {
  textOf.set(cell, data.messages.texts[data.messages.text_of[k]]);
});
const message = (session, c) => textOf.get(session.i * nChecks + c) || "";
const words = (session) => {
  if (session.words === undefined) {
    const parts = [session.eid, session.subject, session.lab, session.type, session.target,
      session.label, session.start,
      ...session.failures.flatMap(({ asset, type, text }) => [asset, type, text]),
      ...(session.stale.length ? ["out of date"] : [])];
    for (let c = 0; c < nChecks; c += 1) {
      const code = session.outcomes[c];
      if (code === "f" || code === "w") parts.push(checks[c].name, message(session, c));
    }
    session.words = parts.join("\n").toLowerCase();
  }
  return session.words;
};
const shown = (x) => (x === null ? "none" : Number.isInteger(x) ? x.toLocaleString("en")
  : String(x));
