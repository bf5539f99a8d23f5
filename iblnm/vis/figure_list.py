"""The list of the cohort's figures: what draws each, from which files, and where it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

EVENTS = {"stimOn": "stimOn_times", "feedback": "feedback_times"}
PERFORMANCE = "data/performance.pqt"


@dataclass(frozen=True)
class CohortFigure:
    """One figure of the cohort.

    Parameters
    ----------
    draw : str
        ``module:function`` below `iblnm.vis`; the function takes the tables by position, and
        ``counts`` and ``settings`` by keyword.
    files : tuple of str
        Files of its tables, relative to the root, in the order of the arguments. Those after
        the first may be missing where the function has a default.
    folder : str
        Below ``figures/``.
    options : mapping
        Further keywords of the function.
    count_by : str
        ``module:function`` that counts animals, sessions, recordings and trials from the
        tables of `count_files`, with ``settings`` and the options; without it those that the
        analysis used are taken from the first file's provenance. They stand for what the
        drawn table does not tell.
    count_files : tuple of str
    n_required : int
        Files without which nothing can be drawn.
    """

    draw: str
    files: tuple[str, ...]
    folder: str
    options: Mapping[str, Any] = field(default_factory=dict)
    count_by: str = ""
    count_files: tuple[str, ...] = ()
    n_required: int = 1

    @property
    def function(self) -> Any:
        """What draws it."""
        return named(self.draw)


def named(name: str) -> Any:
    """What ``module:attribute`` below `iblnm.vis` names."""
    module, attribute = name.split(":")
    return getattr(import_module(f"iblnm.vis.{module}"), attribute)


def _results(folder: str, *stems: str) -> tuple[str, ...]:
    return tuple(f"results/{folder}/{stem}.pqt" for stem in stems)


def _counted(stem: str) -> dict[str, Any]:
    """How to count for tables of response vectors, which do not tell their trials."""
    recordings = {"similarity": "similarity_matrix", "decoding": "decoding_predictions"}
    kind = stem.split("_", 1)[0]
    if kind not in recordings:
        return {}
    files = _results("responses", recordings[kind], "responses")
    return {"count_by": "response_vectors:vector_counts", "count_files": files}


def _responses() -> Iterator[tuple[str, CohortFigure]]:
    folder = "responses"
    for name, event in {**EVENTS, "firstMovement": "firstMovement_times"}.items():
        yield (
            f"mean_traces_{name}",
            CohortFigure(
                "traces:mean_traces_figure",
                _results(folder, "mean_traces"),
                folder,
                {"event": event},
            ),
        )
    rows: dict[str, tuple] = {
        "response_vectors": ("response_vectors:response_vectors_figure", "response_matrix"),
        "similarity_matrix": ("similarity:similarity_matrix_figure", "similarity_matrix"),
        "confusion": ("decoding:confusion_figure", "decoding_predictions", "decoding_accuracy"),
        "decoder_coefficients": ("decoding:decoder_coefficients_figure", "decoding_coefficients"),
        "contributions": ("decoding:contributions_figure", "decoding_contributions"),
        "decoding_null": ("decoding:decoding_null_figure", "decoding_null"),
        "lmm_coefficients": ("mixed_models:lmm_coefficients_figure", "lmm_coefficients"),
        "marginal_means": ("mixed_models:marginal_means_figure", "marginal_means"),
        "contrast_slopes": ("mixed_models:contrast_slopes_figure", "contrast_slopes"),
    }
    for name, (draw, *stems) in rows.items():
        yield name, CohortFigure(draw, _results(folder, *stems), folder, **_counted(stems[0]))
    yield (
        "target_similarity",
        CohortFigure(
            "similarity:target_similarity_figure",
            _results(folder, "target_similarity", "similarity_pairs", "similarity_contrasts"),
            folder,
            n_required=2,
            **_counted("similarity_matrix"),
        ),
    )
    yield (
        "example_session",
        CohortFigure(
            "example_choice:stored_session_figure",
            _results(folder, "responses"),
            "example_session",
        ),
    )


def _movement() -> Iterator[tuple[str, CohortFigure]]:
    folder = "movement_encoding"
    for name, draw, stems in (
        ("movement_encoding", "movement", ("movement_encoding", "movement_tests")),
        ("movement_slopes", "movement", ("movement_slopes",)),
        ("wheel_models", "wheel", ("wheel_models",)),
    ):
        yield name, CohortFigure(f"{draw}:{name}_figure", _results(folder, *stems), folder)


def _encoding() -> Iterator[tuple[str, CohortFigure]]:
    folder = "task_encoding"
    glm = _results(folder, "glm_coefficients")
    yield "glm_coefficients", CohortFigure("encoding:glm_coefficients_figure", glm, folder)
    stems = ("glm_component_scores", "glm_component_loadings", "glm_component_tests")
    for method in ("pca", "ica"):
        for event, times in EVENTS.items():
            yield (
                f"glm_{method}_{event}",
                CohortFigure(
                    "encoding:components_figure",
                    _results(folder, *stems),
                    folder,
                    {"event": times, "method": method},
                    n_required=2,
                ),
            )
    for variant in ("plain", "elastic_net"):
        for name, stems, n_required in (
            ("weights", ("cca_weights",), 1),
            ("projections", ("cca_projections", "cca_results"), 1),
            ("targets", ("cca_cross_projections", "cca_weight_similarities"), 2),
        ):
            yield (
                f"cca_{name}_{variant}",
                CohortFigure(
                    f"canonical:cca_{name}_figure",
                    _results(folder, *stems),
                    folder,
                    {"variant": variant},
                    count_by="canonical:cca_counts",
                    count_files=_results(folder, "cca_projections", "glm_coefficients"),
                    n_required=n_required,
                ),
            )


def _performance() -> Iterator[tuple[str, CohortFigure]]:
    folder = "task_performance"
    curves = _results(folder, "learning_curves")
    for measure in ("fraction_correct", "fraction_correct_easy", "nogo_fraction"):
        yield (
            f"learning_curves_{measure}",
            CohortFigure(
                "learning:learning_curves_figure",
                curves,
                folder,
                {"measure": measure},
            ),
        )
    yield (
        "psychometric_trajectories",
        CohortFigure(
            "trajectories:psychometric_trajectories_figure",
            _results(folder, "psychometric_trajectories"),
            folder,
        ),
    )
    yield (
        "sessions_to_stage",
        CohortFigure(
            "learning:sessions_to_stage_figure",
            _results(folder, "sessions_to_stage", "target_comparisons"),
            folder,
        ),
    )
    yield (
        "psychometric_curves",
        CohortFigure(
            "psychometric:psychometric_figure",
            _results("responses", "responses"),
            folder,
        ),
    )


def _quality() -> Iterator[tuple[str, CohortFigure]]:
    folder = "qc_overview"
    counted = (*_results(folder, "qc_values"), PERFORMANCE)
    for name, draw, stems in (
        ("qc_histograms", "quality:qc_histograms_figure", ("qc_values",)),
        ("qc_violins", "quality:qc_violins_figure", ("qc_values",)),
        ("qc_trend", "quality_trends:qc_trend_figure", ("qc_trend",)),
        ("qc_components", "quality_trends:qc_components_figure", ("qc_scores", "qc_components")),
    ):
        files, n = _results(folder, *stems), len(stems)
        if name == "qc_components":
            counted = (files[0], PERFORMANCE)
        yield (
            name,
            CohortFigure(
                draw,
                files,
                folder,
                count_by="quality:quality_counts",
                count_files=counted,
                n_required=n,
            ),
        )
    yield "video", CohortFigure("video:video_figure", ("metadata/video.pqt",), "video")


FIGURES: dict[str, CohortFigure] = dict(
    pair for part in (_responses, _movement, _encoding, _performance, _quality) for pair in part()
)
