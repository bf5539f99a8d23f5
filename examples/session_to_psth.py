# %% [markdown]
# # From one session to a PSTH
#
# Nothing of the pipeline needs to have run: the session is read from the archive of the settings
# (without any setting, the demo archive, which is built on first use), checked, preprocessed and
# cut around its events. Run it with `python examples/session_to_psth.py [EID]`, or open it as a
# notebook (VS Code, or Jupyter with jupytext).

# %%
import sys

from iblnm.archive import _get_default_connection, fetch_session, list_sessions
from iblnm.config import RESPONSE_EVENTS, get_settings
from iblnm.data import PhotometrySession
from iblnm.util import has_dataset
from iblnm.vis import example_session_figure, save_figure

settings = get_settings()
one = _get_default_connection()

# %% [markdown]
# A session is a row of a table, with all that the archive knows of it: here the one that is asked
# for, or else the first that lists trials and a signal.

# %%
sessions = list_sessions(one, settings.project)
chosen = [word for word in sys.argv[1:] if word in set(sessions["eid"])]


def has_both(row):
    """Whether a session lists extracted trials and photometry."""
    return all(
        has_dataset(row, name, settings)
        for name in ("extracted_task", "extracted_photometry_signal")
    )


rows = (fetch_session(one, eid, settings).iloc[0] for eid in chosen or sessions["eid"])
row = next((row for row in rows if has_both(row)), None)
if row is None:
    raise SystemExit(
        f"of {len(chosen) or len(sessions)} sessions none lists both trials and photometry; "
        "`iblnm summary` tells what there is"
    )
ps = PhotometrySession(row, one=one)
print(ps, "targets:", ", ".join(ps.target_NM))

# %% [markdown]
# Every rule is a method that raises a typed error; with `exlog` errors are collected instead.

# %%
problems = []
ps.load_trials()
ps.load_photometry()
ps.validate_n_trials(exlog=problems)
ps.validate_trials_in_photometry_time(exlog=problems)
ps.run_raw_qc()
ps.validate_qc(exlog=problems)
ps.run_sliding_qc()
print(ps.qc[["brain_region", "band", "n_unique_samples", "bleaching_tau", "iso_correlation"]])
print("problems:", [problem["error_type"] for problem in problems] or "none")

# %% [markdown]
# Bleaching and motion out, 30 Hz, z-scored; then one row per trial around every event.

# %%
ps.preprocess()
ps.extract_responses(events=RESPONSE_EVENTS)
recording = next(iter(ps.responses))
region = ps.subtract_baseline(ps.responses[recording])
print(region.sizes)

# %% [markdown]
# The mean response to reward and to error in the 0.1–0.35 s after feedback, in z units:

# %%
early = region.sel(event="feedback_times", time=slice(*settings.signal.early_window)).mean("time")
by_outcome = early.groupby(early["trial"].copy(data=ps.trials["feedbackType"])).mean("trial")
for outcome, value in zip(by_outcome["trial"].values, by_outcome.values, strict=True):
    print(f"{'reward' if outcome == 1 else 'error'}: {value:+.2f}")

# %%
figure = example_session_figure(
    ps.photometry,
    ps.responses,
    ps.trials,
    recording=recording,
    name=f"{ps.subject} {ps.start_time[:10]}",
    target=ps.target_NM[0],
    settings=settings,
)
for path in save_figure(figure, settings.figures_dir / "examples" / "session_to_psth"):
    print(path)
