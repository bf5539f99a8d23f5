"""What `dagster dev` loads."""

from iblnm_dagster.build import build_defs

defs = build_defs()
