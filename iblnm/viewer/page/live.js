// The live page: choose a session, load its blocks, label it.
async function get(path, signal) {
  const response = await fetch(path, {signal});
  if (!response.ok) {
    const text = await response.text();
    let reason = text;
    try { reason = JSON.parse(text).error || text; } catch { /* plain text */ }
    throw new Error(reason || `the server answers ${response.status}`);
  }
  return response;
}
const getJson = async (path, signal) => (await get(path, signal)).json();
const getBlock = async (path, signal) => {
  const response = await get(path, signal);
  return response.status === 204 ? null : unpackBlock(await response.arrayBuffer());
};

const live = {
  page: null, choice: null, eid: null, view: {}, filters: {}, loading: null,

  async start() {
    const found = readAddress();
    Object.assign(this, {view: found.view, filters: found.filters});
    const listing = await getJson("/api/sessions");
    this.who = listing.who;
    this.choice = new Choice(document.getElementById("choice"), listing, this.filters, {
      open: (eid) => this.open(eid, true), filtered: () => { if (this.eid) this.remember(); }});
    this.choice.view = () => this.carried();
    this.choice.current = found.eid;
    bindKeys(this);
    addEventListener("popstate", () => {
      const back = readAddress();
      this.view = back.view;
      Object.assign(this.filters, back.filters);
      if (back.eid) this.open(back.eid, false);
    });
    const applied = this.choice.apply();
    if (found.eid) await this.open(found.eid, false);
    else this.tell("No session is known yet: run `iblnm demo` or `iblnm batch` first, then reload.");
    await applied;
  },

  // what stays when another session is opened
  carried() {
    const {unit, sort, group, baseline, mask} = this.view;
    return {unit, sort, group, baseline, mask};
  },

  tell(text) {
    document.getElementById("session").replaceChildren(missing(text));
  },

  remember(push = false) {
    const target = address(this.eid, this.view, this.filters);
    if (push) history.pushState(null, "", target); else history.replaceState(null, "", target);
  },

  async open(eid, push) {
    if (this.loading) this.loading.abort();
    const loading = (this.loading = new AbortController());
    document.body.dataset.ready = "";
    if (push) this.view = this.carried();
    this.eid = this.choice.current = eid;
    if (this.choice.shown) this.choice.mark();
    if (push) this.remember(true);
    const base = `/api/sessions/${eid}`;
    try {
      const first = `fiber-${this.view.fiber || 0}`;
      const [found, head, fiber] = await Promise.all([getJson(base, loading.signal), getBlock(`${base}/blocks/session`, loading.signal),
        getBlock(`${base}/blocks/${first}`, loading.signal).catch((error) => { if (error.name === "AbortError") throw error; return null; })]);
      const loaded = new Map(fiber ? [[first, fiber]] : []);
      await this.show(eid, base, found, head, loaded);
    } catch (error) {
      if (error.name !== "AbortError") this.tell(`The session cannot be shown: ${error.message}`);
    }
    document.body.dataset.readyAt = performance.now();
    document.body.dataset.ready = eid;
  },

  async show(eid, base, found, head, loaded) {
    document.title = head.title || "Session";
    const checks = merged(found.checks, head.checks);
    const extras = {checks, failures: found.failures, analyses: found.analyses, links: [["run in Dagster", found.links.dagster], ["report", found.links.report], ["dashboard", found.links.dashboard]],
      files: `Files: ${found.links.h5}${head.source.path ? "; " + head.source.path : ""}`, labels: () => this.labels.root};
    const page = new SessionPage(document.getElementById("session"), {head, extras,
      fiber: async (i) => {
        const name = `fiber-${i}`;
        if (!loaded.has(name)) loaded.set(name, await getBlock(`${base}/blocks/${name}`));
        return loaded.get(name);
      },
      traces: (fiber, t0, t1, bins, signal) => getBlock(`${base}/traces/${fiber}?t0=${t0}&t1=${t1}&bins=${bins}`, signal),
    }, this.view, {changed: (view) => { this.view = view; if (this.eid === eid) this.remember(); }, selected: (t0, t1) => this.labels.propose(t0, t1)});
    this.page = page;
    this.labels = new Labels(page, found, this.who, async (content) => {
      const response = await fetch(`${base}/labels`, {method: "POST", headers: {"content-type": "application/json", "x-iblnm-viewer": "1"}, body: JSON.stringify(content)});
      const answer = await response.text();
      if (!response.ok) {
        let reason = answer;
        try { reason = JSON.parse(answer).error || answer; } catch { /* plain text */ }
        throw new Error(reason);
      }
      return JSON.parse(answer);
    });
    await page.draw();
  },
};

// the catalog's outcomes, in the words of the rules; what it does not have yet, from the session
function merged(stored, own) {
  const texts = new Map(own.map((c) => [c.name, c])), known = new Set(stored.map((c) => c.check));
  return [...stored.map((c) => ({...(texts.get(c.check) || {}), ...c, name: c.check})), ...own.filter((c) => !known.has(c.name))];
}

live.start().catch((error) => live.tell(`The viewer cannot start: ${error.message}`));
