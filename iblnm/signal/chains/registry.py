"""The corrections that are compared, each declared once.

To add one: a function in `iblnm.signal.chains.corrections` and an entry of `CHAINS`. The command,
the tables, the benchmark and its figure follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from iblnm.config import ChainSettings
from iblnm.errors import IblnmError
from iblnm.signal.chains import corrections

if TYPE_CHECKING:
    import xarray as xr

DOCUMENTED = "documented"
RATIO = "dexp_ratio"
EXTRA = "chains"


class MissingChainPackageError(IblnmError):
    """The package that a chain computes with is not installed."""


@dataclass(frozen=True)
class Chain:
    """A correction of the signal of one fiber.

    Parameters
    ----------
    name : str
    description : str
        One sentence.
    assumes : str
        When it recovers the signal, in one sentence.
    source : str
        Of the method.
    function : callable
        Takes signal, reference, settings of the signal and `ChainSettings`; returns the Dataset
        of `iblnm.signal.preprocess.preprocess_recording`.
    package : str, optional
        Module of the extra ``chains`` that it needs.
    """

    name: str
    description: str
    assumes: str
    source: str
    function: Callable[..., xr.Dataset]
    package: str | None = None

    @property
    def is_installed(self) -> bool:
        """Whether the package that it needs is there."""
        return self.package is None or find_spec(self.package) is not None

    def correct(self, parameters: ChainSettings | None = None) -> Callable[..., xr.Dataset]:
        """The correction as `iblnm.signal.preprocess.preprocess_photometry` takes it.

        Parameters
        ----------
        parameters : ChainSettings, optional

        Returns
        -------
        callable
            Takes signal, reference and settings of the signal.

        Raises
        ------
        MissingChainPackageError
            If its package is not installed; the message says how to install it.
        """
        if not self.is_installed:
            raise MissingChainPackageError(
                f"the chain {self.name} needs {self.package}: pip install 'iblnm[{EXTRA}]'"
            )
        return partial(self.function, parameters=parameters or ChainSettings())


CHAINS: tuple[Chain, ...] = (
    Chain(
        DOCUMENTED,
        "Both bands divided by their slow part (0.01 Hz low-pass), the reference regressed out by "
        "ordinary least squares.",
        "Artifacts enter the signal as a constant share of what they are in the reference, which "
        "has little noise; nothing of interest is slower than about 100 s.",
        "IBL's photometry pipeline; the default of iblnm, and what `preprocessed` stores",
        corrections.documented,
    ),
    Chain(
        "documented_smoothed_reference",
        "As documented, with the reference low-passed at 2 Hz before it is used.",
        "As documented, with artifacts slower than the filter; the reference may be noisy.",
        "Keevers and Jean-Richard-dit-Bressel 2025, Neurophotonics 12, 025003 (low-pass)",
        corrections.documented_smoothed_reference,
    ),
    Chain(
        "dexp_irls",
        "Both bands divided by a fitted double exponential, the reference regressed out by "
        "iteratively reweighted least squares (Tukey's bisquare).",
        "Bleaching is a sum of two exponentials; transients are outliers of the relation of the "
        "bands. Slow changes are kept.",
        "Keevers and Jean-Richard-dit-Bressel 2025, Neurophotonics 12, 025003; weights of Beaton "
        "and Tukey 1974, Technometrics 16, 147",
        corrections.dexp_irls,
    ),
    Chain(
        RATIO,
        "Both bands divided by a fitted double exponential, then the signal by the reference.",
        "Artifacts multiply both bands by the same factor; the reference has little noise. Slow "
        "changes are kept.",
        "Grynkiewicz, Poenie and Tsien 1985, J. Biol. Chem. 260, 3440 (ratio of two excitations)",
        corrections.dexp_ratio,
    ),
    Chain(
        "asls_irls",
        "Both bands divided by their baseline by asymmetric least squares, the reference "
        "regressed out as in dexp_irls.",
        "Transients are positive and shorter than the baseline's period.",
        "Eilers and Boelens 2005, baseline correction with asymmetric least squares smoothing; "
        "pybaselines",
        corrections.asls_irls,
        package="pybaselines",
    ),
    Chain(
        "dexp_ica",
        "Both bands divided by a fitted double exponential and separated into two independent "
        "components; the one that the reference has more of is removed.",
        "Signal and artifact are independent, not normal, and mixed at constant shares; the "
        "reference may hold some of the signal.",
        "Hyvärinen and Oja 2000, Neural Networks 13, 411 (FastICA); scikit-learn",
        corrections.dexp_ica,
    ),
)


def find_chain(name: str) -> Chain:
    """The chain of a name.

    Raises
    ------
    ValueError
        If there is none; the message lists those that there are.
    """
    found = {chain.name: chain for chain in CHAINS}
    if name not in found:
        raise ValueError(f"no chain is called {name!r}; there are {', '.join(found)}")
    return found[name]


def usable_chains(names: Sequence[str] = ()) -> tuple[tuple[Chain, ...], list[str]]:
    """Chains whose packages are installed, and a note for each of the others.

    Parameters
    ----------
    names : sequence of str
        All by default.
    """
    wanted = [find_chain(name) for name in names] or list(CHAINS)
    notes = [
        f"{chain.name} left out: {chain.package} is not installed (pip install 'iblnm[{EXTRA}]')"
        for chain in wanted
        if not chain.is_installed
    ]
    return tuple(chain for chain in wanted if chain.is_installed), notes
