"""See a session: the viewer in the browser, and the report of every session.

`document` puts together what a page shows, from the panels that stages declare (`panel`,
`panels`); `server` serves it live, with traces at any zoom (`traces`) and human labels;
`report` writes it as one file. Scripts and styles are in ``page/``.
"""
