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
# for, or else the first that lists trials and a signal, extracted.

# %%
sessions = list_sessions(one, settings.project)
asked = sys.argv[1] if len(sys.argv) > 1 and "ipykernel" not in sys.modules else None
NEEDED = {"extracted_task": "trials", "extracted_photometry_signal": "photometry"}


def lacks(row):
    """What a session would have to list beside what it does."""
    return [name for key, name in NEEDED.items() if not has_dataset(row, key, settings)]


known = sessions["eid"].tolist()
eids = [asked, *known] if asked in known else known
rows = (fetch_session(one, eid, settings).iloc[0] for eid in eids)
row = next((row for row in rows if not lacks(row)), None)
if row is None:
    raise SystemExit(
        f"none of {len(known)} sessions lists extracted trials (_ibl_trials.table.pqt) and an "
        "extracted signal (photometry.signal.pqt); `iblnm summary` tells what there is"
    )
if asked and row["eid"] != asked:
    fault = "is not in the archive"
    if asked in known:
        missing = lacks(fetch_session(one, asked, settings).iloc[0])
        fault = f"lists no extracted {' and no '.join(missing)}"
    raise SystemExit(f"session {asked} {fault}; one that has all is {row['eid']}")
ps = PhotometrySession(row, one=one)
print(ps, "targets:", ", ".join(map(str, ps.target_NM)))

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
recording = next(iter(ps.responses), None)
if recording is None:
    raise SystemExit(
        f"{ps} has no recording with responses: {problems or 'no signal of a region'}"
    )
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
