"""The Dagster asset graph around `iblnm`: orchestration only, no science."""

import warnings

from dagster import BetaWarning, PreviewWarning

for _category in (BetaWarning, PreviewWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"iblnm_dagster\.")
