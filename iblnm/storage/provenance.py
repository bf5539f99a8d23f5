"""What an output was made from and with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

PACKAGES = ("iblnm", "ibl-photometry", "ibllib", "ONE-api")


@cache
def _installed_versions(packages: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
    def version(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    return tuple((package, version(package)) for package in packages)


def software_versions(further: tuple[str, ...] = ()) -> dict[str, str | None]:
    """Versions of the packages that an output depends on, read once per process.

    Parameters
    ----------
    further : tuple of str
        Distributions that matter besides those of `PACKAGES`.

    Returns
    -------
    dict
        Distribution name to version; None where a package is not installed.
    """
    return dict(_installed_versions((*PACKAGES, *further)))


@dataclass(frozen=True)
class Provenance:
    """Origin of one output.

    Parameters
    ----------
    software : dict
        Versions, see `software_versions`.
    parameters : dict
        Everything that was chosen; JSON types.
    inputs : list of dict
        One per input dataset, with ``name``, ``revision``, ``size`` [bytes] and ``hash``.

    Examples
    --------
    >>> origin = Provenance(software={"iblnm": "0.1.0"}, parameters={"fs": 30.0})
    >>> Provenance.from_json(origin.to_json()) == origin
    True
    """

    software: dict[str, str | None] = field(default_factory=software_versions)
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> str:
        """The provenance as JSON text with sorted keys."""
        content = {
            "software": self.software,
            "parameters": self.parameters,
            "inputs": self.inputs,
        }
        return json.dumps(content, sort_keys=True, default=_plain)

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def _plain(value: Any) -> Any:
    for method in ("model_dump", "tolist"):
        if hasattr(value, method):
            return getattr(value, method)()
    return str(value)
