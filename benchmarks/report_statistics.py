"""Run the studies of the statistics and write STATISTICS.md.

Run: python benchmarks/report_statistics.py
Each study also runs alone: python benchmarks/statistics_<name>.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
STUDIES = {
    "signals": "The whole chain, from signals to coefficients",
    "models": "Mixed models, movement and wheel models",
    "waveforms": "Whole curves over animals",
    "discrimination": "Similarity and decoding of targets",
    "encoding": "Regressions per recording, canonical correlation, comparisons of targets",
}
_INTRODUCTION = """# How far the statistics can be trusted

Simulated cohorts with a planted truth: how often an interval covers it, how often a test rejects
where nothing is planted, how well what is planted is found. A rate comes with the number of
simulations and its 95 % binomial interval (Clopper & Pearson). Of many lines some five in a
hundred are expected to miss their nominal rate. The seeds are in the text of each study.
Written by `python benchmarks/report_statistics.py`.
"""


def main() -> None:
    parts = [_INTRODUCTION]
    for name, title in STUDIES.items():
        script = FOLDER / f"statistics_{name}.py"
        print(script.name, flush=True)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(script)],
            capture_output=True,
            text=True,
            check=True,
        )
        printed = done.stdout.rstrip()
        shown = printed if printed.startswith("|") else f"```\n{printed}\n```"
        parts.append(f"## {title}\n\n{_docstring(script)}\n\n{shown}\n")
        print(done.stdout)
    (FOLDER / "STATISTICS.md").write_text("\n".join(parts), encoding="utf-8")


def _docstring(script: Path) -> str:
    import ast

    return (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").strip()


if __name__ == "__main__":
    main()
