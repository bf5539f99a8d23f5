"""A session of the small archive, a simulated cohort; tests take copies of what they change."""

import pytest

from iblnm.archive import connect
from iblnm.config import Settings
from iblnm.data import PhotometrySession, PhotometrySessionGroup


@pytest.fixture(scope="session")
def archive_one(small_archive):
    return connect(Settings(one_cache_dir=small_archive[0]))


@pytest.fixture(scope="session")
def biased_truth(small_archive):
    sessions = small_archive[1]["sessions"]
    sessions = sessions.values() if isinstance(sessions, dict) else sessions
    return next(session for session in sessions if session["session_type"] == "biased")


@pytest.fixture
def make_session(archive_one, small_settings, biased_truth):
    """A fresh session of the archive, with its row and no data."""

    def make(**fields):
        row = {"eid": biased_truth["eid"], **fields}
        return PhotometrySession(row, one=archive_one, settings=small_settings)

    return make


@pytest.fixture
def session(make_session):
    """The biased session with trials and photometry."""
    ps = make_session().from_alyx()
    ps.load_trials()
    ps.load_photometry()
    return ps


@pytest.fixture
def group(cohort):
    """All sessions of the simulated cohort."""
    return PhotometrySessionGroup(cohort.catalog, settings=cohort.settings)
