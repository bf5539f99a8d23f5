"""Named corrections of the signal beside the documented one, to compare with it."""

from iblnm.signal.chains.registry import (
    CHAINS,
    DOCUMENTED,
    RATIO,
    Chain,
    MissingChainPackageError,
    find_chain,
    usable_chains,
)

__all__ = [
    "CHAINS",
    "DOCUMENTED",
    "RATIO",
    "Chain",
    "MissingChainPackageError",
    "find_chain",
    "usable_chains",
]
