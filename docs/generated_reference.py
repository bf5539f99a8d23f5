"""Pages of the reference, written from the declarations before the site is read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from iblnm.config import get_settings
from iblnm.reference import reference_pages, rule_pages, without_sentence

HERE = Path(__file__).resolve().parent
REFERENCE = HERE / "reference"
_RULES = """# Rules

One page per rule; the limits are the defaults.

```{{toctree}}
:maxdepth: 1

{names}
```
"""


def setup(app: Any) -> dict[str, bool]:
    """Write the pages when the builder starts."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}


def write_pages(_app: Any) -> None:
    """Everything below ``docs/reference``; what no sentence explains stops the build."""
    unexplained = without_sentence()
    if unexplained:
        raise ValueError(f"these have no sentence: {', '.join(unexplained)}")
    settings = get_settings()
    shutil.rmtree(REFERENCE, ignore_errors=True)
    (REFERENCE / "rules").mkdir(parents=True)
    pages = reference_pages(settings)
    for stem, text in pages.items():
        if stem != "rules":
            _write(REFERENCE / f"{stem}.md", text)
    rules = rule_pages(settings)
    _write(REFERENCE / "rules" / "index.md", _RULES.format(names="\n".join(rules)))
    for name, text in rules.items():
        _write(REFERENCE / "rules" / f"{name}.md", text)
    _write(REFERENCE / "gallery.md", _gallery(settings.figures_dir))


def _gallery(figures_dir: Path) -> str:
    """Every figure with its picture, where the root has one."""
    from iblnm.analysis.registry import figures
    from iblnm.reference.declared import figure_sentence

    pictures = REFERENCE / "pictures"
    pictures.mkdir()
    parts = [
        "# Figures of the cohort",
        "`make figures` draws all of them; the pictures are of the simulated archive.",
    ]
    for name, figure in figures().items():
        drawn = figures_dir / figure.folder / f"{name}.png"
        parts += [f"## `{name}`", figure_sentence(figure)]
        if drawn.exists():
            shutil.copy(drawn, pictures / f"{name}.png")
            parts.append(f"![{name}](pictures/{name}.png)")
        else:
            parts.append("*Not drawn under the root that these pages were made from.*")
    return "\n\n".join(parts) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
