"""Names that a page, a path or a spreadsheet could take for something else than a name."""

from __future__ import annotations

NAMES = {
    "end of script": "</script><script>alert(1)</script>",
    "comment": "<!--<script>",
    "image": "<img src=x onerror=alert(1)>",
    "path": "../../../etc/passwd",
    "other path": "C:\\..\\x/./y\\z",
    "formula": '=HYPERLINK("http://evil.example";"x")',
    "template": "{{data}}{{script}}{{style}}{{eid}}${1}`",
    "markdown": "![x](/graphql?query=mutation{y})",
    "sign": "$",
    "mathematics": "$\\notacommand{$",
    "lines": "a\u2028b\u2029c\n'\"&",
}
