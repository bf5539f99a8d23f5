"""Tables of sessions, error logs and codings: small helpers for scripts and notebooks."""

from iblnm.pipeline.error_log import LOG_COLUMNS, exception_logger, make_log_entry
from iblnm.pipeline.rules import error_types
from iblnm.util.contrasts import contrast_inverse, contrast_transform, get_contrast_coding
from iblnm.util.logs import (
    collect_catalog,
    collect_errors,
    collect_qc,
    collect_session_errors,
    concat_logs,
    deduplicate_log,
    df2pqt,
)
from iblnm.util.recordings import (
    aggregate_qc_per_session,
    fill_brain_region_from_fibers,
    fill_empty_lists_from_group,
    fill_parallel_lists_from_group,
    fix_brain_regions,
    resolve_duplicate_group,
    validate_parallel_lists,
)
from iblnm.util.rows import (
    add_dataset_flags,
    derive_target_nm,
    enforce_schema,
    get_session_length,
    get_session_type,
    get_targetNM,
    has_dataset,
)

__all__ = [
    "LOG_COLUMNS",
    "add_dataset_flags",
    "aggregate_qc_per_session",
    "collect_catalog",
    "collect_errors",
    "collect_qc",
    "collect_session_errors",
    "concat_logs",
    "contrast_inverse",
    "contrast_transform",
    "deduplicate_log",
    "derive_target_nm",
    "df2pqt",
    "enforce_schema",
    "error_types",
    "exception_logger",
    "fill_brain_region_from_fibers",
    "fill_empty_lists_from_group",
    "fill_parallel_lists_from_group",
    "fix_brain_regions",
    "get_contrast_coding",
    "get_session_length",
    "get_session_type",
    "get_targetNM",
    "has_dataset",
    "make_log_entry",
    "resolve_duplicate_group",
    "validate_parallel_lists",
]
