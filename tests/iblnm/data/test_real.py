"""PhotometrySession on real recordings: what is found, and the number that decided."""

import pytest

from iblnm.archive import connect
from iblnm.config import Settings
from iblnm.data import PhotometrySession
from iblnm.validation import FewUniqueSamples, MissingIsosbestic, missing_modalities

pytestmark = pytest.mark.real

CQ002 = "96268231-87d4-3791-b39f-6e3059cfa72e"
FIP_40 = "ab7da640-14f6-3bd3-8ae2-4ba9a67bade1"
RAW_ONLY = "ba01bf35-8a0d-4ca3-a66e-b3a540b21128"
# what only an Alyx record would tell


@pytest.fixture
def load(real_data, tmp_path):
    settings = Settings(one_cache_dir=real_data / "alf", root=tmp_path)
    one = connect(settings)

    def make(eid):
        return PhotometrySession({"eid": eid}, one=one, settings=settings).from_alyx()

    return make


@pytest.mark.slow
def test_two_fibers_with_isosbestic(load):
    ps = load(CQ002)
    assert {entry["error_type"] for entry in ps.errors} == {
        "MissingRawData",
        "MissingHemisphere",
    }
    assert len(ps.load_trials()) == 328
    ps.load_photometry()
    assert {name: band.shape for name, band in ps.photometry.items()} == {
        "GCaMP": (82213, 2),
        "Isosbestic": (82213, 2),
    }
    ps.run_raw_qc()
    for validate in (
        ps.validate_trials_in_photometry_time,
        ps.validate_n_trials,
        ps.validate_choice_sign,
        ps.validate_event_completeness,
        ps.validate_block_structure,
        ps.validate_isosbestic,
        ps.validate_qc,
    ):
        assert validate() is ps


@pytest.mark.slow
def test_three_fibers_without_isosbestic(load):
    ps = load(FIP_40)
    assert {"InvalidBrainRegion", "MissingHemisphere"} <= {
        entry["error_type"] for entry in ps.errors
    }
    assert "InvalidNeuromodulator" not in {entry["error_type"] for entry in ps.errors}
    ps.load_trials()
    ps.load_photometry()
    with pytest.raises(MissingIsosbestic):
        ps.validate_isosbestic()
    ps.run_sliding_qc(sliding_metrics=["n_unique_samples"])
    with pytest.raises(FewUniqueSamples) as raised:
        ps.validate_few_unique_samples()
    assert raised.value.outcome.value == pytest.approx(0.00826, abs=1e-4)
    ps.preprocess()
    assert {r.attrs["correction"] for r in ps.preprocessed().values()} == {"signal_only"}


def test_raw_only_session_names_what_is_missing(load):
    ps = load(RAW_ONLY)
    assert missing_modalities(ps.to_series(), ps.settings) == {
        "trials": "missing_raw_data",
        "photometry": "missing_extracted_data",
        "wheel": "missing_raw_data",
        "video": "missing_raw_data",
    }
    assert {"MissingRawData", "MissingExtractedData", "MissingBrainRegion"} <= {
        entry["error_type"] for entry in ps.errors
    }
