"""How the animals learn and work."""

from iblnm.analysis.declaration import SELECTION_SETTINGS, Analysis, Figure
from iblnm.analysis.performance.compute import task_performance
from iblnm.analysis.performance.tables import TABLES

ANALYSIS = Analysis(
    name="task_performance",
    compute=task_performance,
    folder="task_performance",
    tables=TABLES,
    settings_read=(
        *SELECTION_SETTINGS,
        "overview.confidence",
        "overview.correction",
    ),
    methods=("analysis.performance.learning",),
    figures=(
        *(
            Figure(
                f"learning_curves_{measure}",
                "figures:learning_curves_figure",
                ("learning_curves",),
                options={"measure": measure},
            )
            for measure in ("fraction_correct", "fraction_correct_easy", "nogo_fraction")
        ),
        Figure(
            "psychometric_trajectories",
            "trajectory_figures:psychometric_trajectories_figure",
            ("psychometric_trajectories",),
        ),
        Figure(
            "sessions_to_stage",
            "figures:sessions_to_stage_figure",
            ("sessions_to_stage", "target_comparisons"),
        ),
        Figure("psychometric_curves", "psychometric_figures:psychometric_figure", ("responses",)),
    ),
)
