"""The one set of partitions: a session is a partition, keyed by its eid."""

from __future__ import annotations

from collections.abc import Iterable

from dagster import DagsterInstance, DynamicPartitionsDefinition

from iblnm.storage.names import is_eid

SESSION_PARTITIONS = DynamicPartitionsDefinition(name="eid")


def known_sessions(instance: DagsterInstance) -> list[str]:
    """Eids that the instance knows, in the order in which they were added.

    The page takes any text for a new partition: what is no session identifier is left out.
    """
    return [key for key in instance.get_dynamic_partitions(SESSION_PARTITIONS.name) if is_eid(key)]


def add_sessions(instance: DagsterInstance, eids: Iterable[str]) -> list[str]:
    """Add the eids that are new, in the order given, and return them."""
    known = set(known_sessions(instance))
    new = [eid for eid in eids if eid not in known]
    if new:
        instance.add_dynamic_partitions(SESSION_PARTITIONS.name, new)
    return new
