"""What an output was made from and with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

from iblnm.storage.digest import canonical_text, text_digest

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
    made_with : dict
        Settings and method versions that the numbers depend on; see `iblnm.pipeline.versions`.
    made_from : dict
        Digests of what the output rests on; see `iblnm.pipeline.staleness`.
    digest : str
        Of the output itself; see `iblnm.storage.digest`.

    Examples
    --------
    >>> origin = Provenance(software={"iblnm": "0.1.0"}, parameters={"fs": 30.0})
    >>> Provenance.from_json(origin.to_json()) == origin
    True
    """

    software: dict[str, str | None] = field(default_factory=software_versions)
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    made_with: dict[str, Any] = field(default_factory=dict)
    made_from: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def code_version(self) -> str:
        """Digest of `made_with`; empty where that is not known."""
        return text_digest(self.made_with) if self.made_with else ""

    def to_json(self) -> str:
        """The provenance as JSON text with sorted keys."""
        content = {
            "software": self.software,
            "parameters": self.parameters,
            "inputs": self.inputs,
        }
        if self.made_with:
            content |= {
                "code_version": self.code_version,
                "made_with": self.made_with,
                "made_from": self.made_from,
            }
        if self.digest:
            content["digest"] = self.digest
        return canonical_text(content)

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """Read what `to_json` wrote."""
        return cls.from_content(json.loads(text))

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Provenance:
        """From the object that the text stands for."""
        return cls(**{name: content[name] for name in content if name != "code_version"})
