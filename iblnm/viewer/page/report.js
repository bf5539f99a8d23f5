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
  const page = new SessionPage(root, {head, fiber: (i) => embedded(`fiber-${i}`), traces: null, extras: {
    links: [["zoom in the viewer", document.body.dataset.viewer], ["dashboard of all sessions", "../qc/dashboard.html"]],
    files: el("span", {}, "Files: ", link(`../../data/sessions/${head.eid}.h5`, `data/sessions/${head.eid}.h5`),
      head.source.path ? `; ${head.source.path}` : ""),
  }});
  await page.draw();
  document.body.dataset.ready = "1";
})();
