"""Effects over time of one recording, from its kernels."""

from __future__ import annotations

import numpy as np

from iblnm.analysis.kernels.design import Condition
from iblnm.analysis.kernels.regression import Kernels
from iblnm.analysis.trials import BASELINE_WINDOW, OUTCOMES
from iblnm.constants import FEEDBACK_EVENT, OPPOSITE_SIDE, STIMULUS_EVENT
from iblnm.signal.perievent import in_window

METHOD_VERSION = 1


def kernel_effects(
    kernels: Kernels,
    hemisphere: str | None,
    *,
    center: float,
    baseline_window: tuple[float, float] = BASELINE_WINDOW,
) -> dict[str, dict[str, np.ndarray]]:
    """What contrast, side and reward add to the response at each time.

    Parameters
    ----------
    kernels : Kernels
        See `iblnm.analysis.kernels.regression.fit_kernels`.
    hemisphere : {'l', 'r', None}
        Of the fiber; without it effects of the side are not known.
    center : float
        Subtracted from ln(contrast + 1), as in the mixed models.
    baseline_window : tuple of float
        Whose mean is subtracted from each kernel, s.

    Returns
    -------
    dict of str to dict of str to ndarray (n_lags,)
        By event and term, coded as in `response_lmm`: contrast per unit of ln(c + 1), side
        contra minus ipsi, reward correct minus error. What the conditions of the session do
        not determine is left out.

    Notes
    -----
    Traces minus a baseline would show the decaying response to the stimulus, upside down, as
    effects of contrast and side at feedback.
    """
    before = in_window(kernels.time, baseline_window)
    curves = kernels.kernels - kernels.kernels[:, before].mean(axis=1, keepdims=True)
    pairs = list(zip(kernels.conditions, curves, strict=True))
    effects = {
        STIMULUS_EVENT: _stimulus(
            [p for p in pairs if p[0].event == STIMULUS_EVENT], hemisphere, center
        ),
        FEEDBACK_EVENT: _feedback(
            [p for p in pairs if p[0].event == FEEDBACK_EVENT], hemisphere, center
        ),
    }
    return {event: terms for event, terms in effects.items() if terms}


def _stimulus(
    pairs: list[tuple[Condition, np.ndarray]], hemisphere: str | None, center: float
) -> dict[str, np.ndarray]:
    if not pairs:
        return {}
    contrast = np.array([np.log1p(c.contrast) - center for c, _ in pairs])
    contra = OPPOSITE_SIDE.get(str(hemisphere))
    side = np.array([0.5 if c.stim_side == contra else -0.5 for c, _ in pairs])
    columns = {"Intercept": np.ones(len(pairs)), "contrast": contrast}
    if contra is not None:
        columns |= {"side": side, "contrast:side": contrast * side}
    weight = np.sqrt([len(c.times) for c, _ in pairs])[:, None]
    design = np.column_stack(list(columns.values())) * weight
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return {}
    beta = np.linalg.lstsq(design, weight * np.stack([k for _, k in pairs]), rcond=None)[0]
    return dict(zip(columns, beta, strict=True))


def _feedback(
    pairs: list[tuple[Condition, np.ndarray]], hemisphere: str | None, center: float
) -> dict[str, np.ndarray]:
    outcome = {c.feedback: k for c, k in pairs if c.modulator is None}
    if set(outcome) != set(OUTCOMES.values()):
        return {}
    correct, incorrect = (outcome[OUTCOMES[name]] for name in ("correct", "incorrect"))
    modulated = {c.modulator: (c, k) for c, k in pairs if c.modulator is not None}
    terms = {"Intercept": (correct + incorrect) / 2, "reward": correct - incorrect}
    if "contrast" in modulated:
        condition, kernel = modulated["contrast"]
        terms["contrast"] = kernel / condition.spread
        terms["Intercept"] = terms["Intercept"] + (center - condition.center) * terms["contrast"]
    contra = OPPOSITE_SIDE.get(str(hemisphere))
    if "stim_side" in modulated:
        condition, kernel = modulated["stim_side"]
        right = kernel / condition.spread
        terms["Intercept"] = terms["Intercept"] - condition.center * right
        if contra is not None:
            terms["side"] = right if contra == "right" else -right
    return terms
