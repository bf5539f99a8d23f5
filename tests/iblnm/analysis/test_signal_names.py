from __future__ import annotations

import subprocess
import sys

import pytest

import iblnm.analysis

NAMES = (
    "get_responses",
    "compute_bleaching_tau",
    "compute_iso_correlation",
    "resample_signal",
    "compute_response_magnitude",
    "normalize_responses",
)


@pytest.mark.parametrize("name", NAMES)
def test_name_is_found_and_listed(name):
    assert callable(getattr(iblnm.analysis, name))
    assert name in dir(iblnm.analysis)
    assert name in iblnm.analysis.__all__


def test_unknown_name():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = iblnm.analysis.nothing


@pytest.mark.slow
def test_import_is_light():
    code = (
        "import sys, iblnm.analysis, iblnm.signal.qc, iblnm.signal.preprocess, "
        "iblnm.signal.perievent; "
        "heavy = {'scipy.signal', 'scipy.interpolate', 'xarray', 'iblphotometry', 'brainbox'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
