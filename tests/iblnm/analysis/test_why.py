"""Whether the analyses would use a session, told before one was made."""

from __future__ import annotations

import pandas as pd
import pytest

from iblnm.analysis.tracing import why


@pytest.mark.slow
def test_before_any_analysis_the_selection_is_told(viewed_settings):
    sessions = pd.read_parquet(viewed_settings.metadata_dir / "sessions.pqt")
    eid, subject = sessions.loc[0, ["eid", "subject"]]
    settings = viewed_settings.model_copy(
        update={
            "analysed_targets": viewed_settings.valid_targets,
            "analysis_contrasts": (100.0,),
            "excluded_subjects": (),
        }
    )
    assert why(eid, settings)[1].endswith("they would use it")
    without = settings.model_copy(update={"excluded_subjects": (subject,)})
    assert why(eid, without)[1].endswith("leave it out by: subject not among 1 excluded")
