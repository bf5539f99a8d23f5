"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def eids_option(default: str = "") -> Callable[[Any], Any]:
    """The option ``--eids``: a file of sessions, see `iblnm.io.text.read_eid_list`.

    Parameters
    ----------
    default : str
        Which sessions without it, for the help.
    """
    text = "The sessions of a text file, one eid a line."
    return click.option(
        "--eids",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"{text}  [default: {default}]" if default else text,
    )
