"""The Dagster asset graph around `iblnm`: orchestration only, no science."""

import warnings

from dagster import BetaWarning, PreviewWarning

for _category in (BetaWarning, PreviewWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"iblnm_dagster\.")
# Dagster itself passes this parameter on when it binds a sensor to its job
warnings.filterwarnings("ignore", category=BetaWarning, message="Parameter `owners`")
