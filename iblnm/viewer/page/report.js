// A report: the blocks are in the page.
async function embedded(name) {
  const text = document.getElementById(`block-${name}`).textContent;
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return unpackBlock(await new Response(stream).arrayBuffer());
}

(async () => {
  const head = await embedded("session"), root = document.getElementById("session");
  document.title = head.title || "Session";
  const {viewer, stored} = document.body.dataset;
  // a page of a session in memory has no neighbors
  const links = stored ? [["zoom in the viewer", viewer], ["dashboard of all sessions", "../qc/dashboard.html"]] : [];
  const place = stored ? [link(`../../data/sessions/${head.eid}.h5`, `data/sessions/${head.eid}.h5`)] : [];
  const files = [...place, head.source.path].filter(Boolean).flatMap((part, i) => (i ? ["; ", part] : [part]));
  const page = new SessionPage(root, {head, fiber: (i) => embedded(`fiber-${i}`), traces: null, extras: {
    links, files: files.length ? el("span", {}, "Files: ", files) : "",
  }});
  await page.draw();
  document.body.dataset.ready = "1";
})();
