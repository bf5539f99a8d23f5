"""Documentation site: `make docs` builds it, with every warning an error."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
SOURCE = "https://github.com/int-brain-lab/iblnm/blob/main/"
sys.path.insert(0, str(HERE))

project = "iblnm"
author = "The iblnm developers"
version = release = metadata.version("iblnm")

extensions = [
    "generated_reference",
    "myst_nb",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_click",
    "sphinx_design",
]
exclude_patterns = ["_build"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

numpydoc_show_class_members = False
numpydoc_xref_param_type = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
default_role = "literal"

html_theme = "pydata_sphinx_theme"
html_title = "iblnm"
html_theme_options = {
    "github_url": "https://github.com/int-brain-lab/iblnm",
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["site.css"]

_OUTSIDE = re.compile(r"\]\(\.\./((?!tutorials|explanation|reference)[\w./-]+)\)")


def _link_to_the_repository(_app, _docname: str, source: list[str]) -> None:
    # what lies outside this folder is no page of the site
    source[0] = _OUTSIDE.sub(lambda found: f"]({SOURCE}{found[1]})", source[0])


def setup(app) -> None:
    """Connect the hook of this file."""
    app.connect("source-read", _link_to_the_repository)
