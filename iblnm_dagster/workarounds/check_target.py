"""Work-around: each result of a check asks the event log which materialization it is about.

A step that evaluates all rules of an asset yields some dozen results, all about the same
materialization, which nothing can follow while the step runs. These results ask once per step.
``tests/iblnm_dagster/workarounds/test_check_target.py`` says when Dagster no longer needs this.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from dagster import AssetCheckResult

_TARGETS: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()


class CheckResult(AssetCheckResult):
    """A result of a check that shares its target with the others of its step."""

    def _get_target_materialization_data(self, step_context: Any, check_key: Any) -> Any:
        known = _TARGETS.setdefault(step_context, {})
        if check_key.asset_key not in known:
            known[check_key.asset_key] = super()._get_target_materialization_data(
                step_context, check_key
            )
        return known[check_key.asset_key]
