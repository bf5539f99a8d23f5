# %% [markdown]
# # From the catalog to a figure
#
# Needs a processed archive: `make demo` once. All recordings of the analyzed targets, selected
# with an account of what each criterion removed, their responses per trial, a mixed model with
# animals as random effect, and two figures. Run it with `python examples/catalog_to_figure.py`,
# or open it as a notebook (VS Code, or Jupyter with jupytext).

# %%
from iblnm.config import SESSIONS_FPATH, get_settings
from iblnm.data import PhotometrySessionGroup
from iblnm.vis import mean_traces_figure, response_vectors_figure, save_figure

settings = get_settings()
folder = settings.figures_dir / "examples"

# %% [markdown]
# The group holds tables; sessions are opened when they are needed, a few at a time. Selecting
# prints what every criterion removed, and changes nothing: call `filter_sessions` again for
# another selection of the same catalog.

# %%
group = PhotometrySessionGroup.from_catalog(SESSIONS_FPATH, session_types=("biased", "ephys"))
print(group)
if group.recordings.empty:
    raise SystemExit(
        "the selection above leaves no recording: give other criteria to `from_catalog`, as "
        "`session_types=False`, or change the settings (docs/own_data.md)"
    )

# %% [markdown]
# The mean early response per recording, event and trial.

# %%
group.get_response_magnitudes()
early = group.response_magnitudes.groupby(["target_NM", "event", "feedbackType"])["response_early"]
print(early.agg(["mean", "count"]).round(2).to_string())

# %% [markdown]
# Does the response at feedback depend on contrast, side and reward? One mixed model per target,
# subjects as random effect, Satterthwaite's degrees of freedom; `p_corrected` is corrected over
# all terms and targets of the event (the column `correction` says how).

# %%
group.fit_lmm()
at_feedback = group.lmm_coefficients.query("event == 'feedback_times' and term != 'Intercept'")
columns = ["target_NM", "term", "estimate", "ci_low", "ci_high", "p_corrected"]
print(at_feedback[columns].round(3).to_string(index=False))

# %% [markdown]
# Mean traces by contrast and outcome, with the spread over animals, and response vectors.

# %%
group.get_mean_traces()
figure = mean_traces_figure(group.mean_traces, settings=settings)
print(*save_figure(figure, folder / "mean_traces"), sep="\n")

# %%
group.get_response_features(nan_handling="drop_features")
figure = response_vectors_figure(group.response_features, settings=settings)
print(*save_figure(figure, folder / "response_vectors"), sep="\n")
