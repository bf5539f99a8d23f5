"""Settings: paths, connection, lists, maps, thresholds.

Every value can be set by an environment variable ``IBLNM_<NAME>`` (nested:
``IBLNM_THRESHOLDS__MIN_TRIALS=100``) or in a file ``.env``; importing this module
reads nothing and creates nothing. The upper-case names (`SESSIONS_FPATH`,
`RESPONSE_EVENTS`, ...) are views on the current settings, for notebooks.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from iblnm.cohort_settings import EncodingSettings, OverviewSettings
from iblnm.constants import (
    MAX_UNUSABLE_TRIAL_SHARE,
    MIN_WINDOW_COVERAGE,
    TASK_CONTRASTS,
    TRIAL_EVENTS,
)
from iblnm.errors import SettingsError
from iblnm.figure_settings import FigureSettings
from iblnm.layers.settings import LayersSettings
from iblnm.server_settings import RemoteSettings, SyncSettings

ENV_FILE = ".env"
_SESSION_TYPE_WORDS = {
    "habituationChoiceWorld": "habituation",
    "trainingChoiceWorld": "training",
    "advancedChoiceWorld": "advanced",
    "neuromodulatorChoiceWorld": "neuromodulator",
    "biasedChoiceWorld": "biased",
    "ephysChoiceWorld": "ephys",
    "passiveChoiceWorld": "passive",
    "Histology": "histology",
}
_STRAIN_TO_NM = {
    "Ai148xSERTCre": "5HT",
    "Ai95xSERTCre": "5HT",
    "Ai148xDATCre": "DA",
    "Ai148xDbhCre": "NE",
    "Ai148xDbh-Cre": "NE",
    "Ai148xTHCre": "NE",
    "Ai148xChATCre": "ACh",
}
_LINE_TO_NM = {
    "Ai148xSert": "5HT",
    "Ai148xDat": "DA",
    "Ai148xDbh": "NE",
    "Ai148xTh": "NE",
    "Ai148xChat": "ACh",
    "Ai148-G6f-cdh x Chat-cre": "ACh",
    "Ai148cdhxChat": "ACh",
}
_STRAINS = (
    "B6.Cg",
    "B6.129S2",
    "B6J.Cg-Gt",
    "B6.Cg-Igs7",
    "C57BL/6J",
    "B6.129(Cg)-Slc6a4",
    "B6.SJL-Slc6a3t",
    "B6;129S6-Chat",
    "B6.Cg-Dbh",
)
_LINES = ("Ai148xSert", "Ai148xDat", "Ai148xDbh", "Ai148xTh", "Ai148xChat", "Ai148cdhxChat")
_EXCLUDED_SUBJECTS = (
    "SP066",
    *(f"SP{n:03d}" for n in range(72, 77)),
    "VIV-45585",
    "VIV-45598",
    "VIV-47615",
    "VIV-47627",
    "photometry_test_subject_A",
    "photometry_test_subject_B",
)
_DATASET_CATEGORIES = {
    "raw_task": (
        "raw_behavior_data/_iblrig_taskData.raw.jsonable",
        "raw_task_data_*/_iblrig_taskData.raw.jsonable",
    ),
    "raw_video": ("raw_video_data/_iblrig_leftCamera.raw.mp4",),
    "raw_photometry_channels": ("raw_photometry_data/_neurophotometrics_fpData.channels.csv",),
    "raw_photometry_signals": ("raw_photometry_data/_neurophotometrics_fpData.raw.*",),
    "raw_photometry_inputs": ("raw_photometry_data/_neurophotometrics_fpData.digitalIn*puts.*",),
    "raw_wheel": (
        "raw_behavior_data/_iblrig_encoderPositions.raw.ssv",
        "raw_task_data_*/_iblrig_encoderPositions.raw.ssv",
    ),
    "extracted_task": ("alf/_ibl_trials.table.pqt", "alf/task_*/_ibl_trials.table.pqt"),
    "extracted_wheel": ("alf/_ibl_wheel.position.npy", "alf/task_*/_ibl_wheel.position.npy"),
    "extracted_photometry_signal": ("alf/photometry/photometry.signal.pqt",),
    "extracted_photometry_locations": ("alf/photometry/photometryROI.locations.pqt",),
}
_TARGET_NM = {
    "VTA": "DA",
    "SNc": "DA",
    "DR": "5HT",
    "MR": "5HT",
    "LC": "NE",
    "NBM": "ACh",
    "SI": "ACh",
    "PPT": "ACh",
}
# VTA-DA, LC-NE and NBM-ACh as in the project; the others keep the hue of their
# neuromodulator at a lightness that the color-blind can tell from all others
_TARGET_COLORS = {
    "MR-5HT": "#e3a1f5",
    "DR-5HT": "#7426a8",
    "VTA-DA": "#ff413d",
    "SNc-DA": "#f7a21b",
    "LC-NE": "#3f88fa",
    "NBM-ACh": "#40afa1",
    "SI-ACh": "#8fdc8a",
    "PPT-ACh": "#0a4526",
}
_SESSION_TYPE_COLORS = {
    "habituation": "darkgray",
    "training": "cornflowerblue",
    "biased": "mediumpurple",
    "ephys": "hotpink",
}


def _default_root() -> Path:
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


class Thresholds(BaseModel):
    """Limits of the rules; each rule's message names its value and this limit."""

    min_trials: int = 90
    min_event_completeness: float = 0.9
    min_block_length: int = 10
    n_unbiased_trials: int = 90
    max_negative_reaction_fraction: float = 0.05
    min_unique_fraction: float = 0.05
    min_iso_r2: float = 0.0
    max_iso_slope_disagreement: float = 0.5
    max_video_length_difference_s: float = 120.0
    min_training_fraction_correct: float = 0.70
    early_sample_tolerance_s: float = 1e-3
    max_missing_frame_share: float = 0.01
    max_missing_share: float = 0.1
    """Share of the task, or of its trials, that gaps of the signal may cover."""
    max_still_s: float = 5.0
    """A signal that does not change for longer is missing there."""
    max_saturated_s: float = 0.5
    """The same at the top of its range."""
    max_lost_share: float = 0.001
    """Share of the raw frames for which late frames may leave room."""
    max_unusable_trial_share: float = MAX_UNUSABLE_TRIAL_SHARE
    """Share of trials that may lack side, choice, outcome or start."""
    max_wheel_fault_share: float = 0.01
    """Share of the wheel's samples that may lack value or order."""
    max_camera_fault_share: float = 0.01
    """The same of the camera's times."""
    max_sync_residual_s: float = 0.005
    min_sync_matched_share: float = 0.95
    min_pass_share: float = 0.5


class SignalSettings(BaseModel):
    """Parameters of photometry processing; rates in Hz, times in seconds."""

    fs: float = 30.0
    task_padding_s: float = 5.0
    max_gap_s: float = 0.1
    lowpass_order: int = 3
    lowpass_hz: float = 0.01
    filter_edge_s: float = 50.0
    qc_window_s: float = 120.0
    qc_step_s: float = 60.0
    qc_min_coverage: float = MIN_WINDOW_COVERAGE
    """Share of its samples that a window needs to be measured."""
    max_tau_durations: float = 10.0
    response_window: tuple[float, float] = (-1.0, 1.0)
    baseline_window: tuple[float, float] = (-0.1, 0.0)
    early_window: tuple[float, float] = (0.1, 0.35)
    late_window: tuple[float, float] = (0.35, 0.6)


class WheelSettings(BaseModel):
    """Parameters of wheel extraction; rate in Hz, duration in seconds."""

    fs: float = 100.0
    max_trial_s: float = 60.0
    max_speed_rad_s: float = 200.0
    """A faster step of more than a radian is a reset of the encoder."""


class CohortSettings(BaseModel):
    """Selection of trials and features in cohort analyses; times in seconds."""

    max_cached_sessions: int = 8
    """Sessions that a group holds in memory at once."""
    probability_left: float = 0.5
    min_response_time_s: float = 0.05
    min_coverage: float = 0.0
    """Share of the samples of the early window that a magnitude needs; at least one sample."""
    min_trials_per_cell: int = 5
    max_nan_rate: float = 0.3


class ModelSettings(BaseModel):
    """Mixed models of responses and movements."""

    events: tuple[str, ...] = ("stimOn_times", "feedback_times")
    contrast_coding: Literal["log", "linear", "rank"] = "log"
    re_formulas: tuple[str, ...] = ("contrast", "1")
    """Random effects of the subject, in order of preference: the first that converges."""
    min_subjects: int = 2
    loglik_tolerance: float = 0.01
    """Largest difference of the log-likelihoods of two maximizations."""
    se_tolerance: float = 0.01
    """Largest relative difference of their standard errors."""
    timings: tuple[str, ...] = ("reaction_time", "movement_time")
    min_movement_subjects: int = 3
    min_movement_trials: int = 20
    n_permutations: int = 1000
    seed: int = 0
    wheel_variables: tuple[str, ...] = ("peak_velocity", "reaction_time", "movement_time")
    correction: str = "holm"
    """Method of ``statsmodels.stats.multitest.multipletests``."""


class DiscriminationSettings(BaseModel):
    """Similarity and decoding of targets, repeated-measures ANOVA."""

    seed: int = 0
    min_subjects: int = 2
    """Animals that a target needs; one alone can never be predicted from others."""
    n_permutations: int = 500
    n_similarity_permutations: int = 1000
    n_bootstrap: int = 2000
    coverage: float = 0.95
    n_inner_folds: int = 5
    tolerance: float = 1e-4
    """Largest violation of the optimality conditions of a fit, in units of the penalty."""
    anova_min_subjects: int = 2
    anova_min_trials: int = 10
    correction: str = "holm"


class Settings(BaseSettings):
    """All settings of a pipeline; see the module's docstring for how to set them."""

    model_config = SettingsConfigDict(
        env_prefix="IBLNM_",
        env_nested_delimiter="__",
        env_file=(),  # `settings_customise_sources` reads it
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read ``.env`` as other files that people write, see `iblnm.io.text`."""
        from iblnm.setting_mistakes import SettingsFile

        given = getattr(dotenv_settings, "env_file", None)
        file = SettingsFile(settings_cls, env_file=ENV_FILE if given == () else given)
        return init_settings, env_settings, file, file_secret_settings

    root: Path = Field(default_factory=_default_root)
    project: str = "ibl_fibrephotometry"
    one_mode: Literal["local", "remote"] = "local"
    one_cache_dir: Path | None = None
    alyx_url: str | None = None
    alyx_user: str | None = None
    alyx_password: SecretStr | None = None
    alyx_token_file: Path | None = None
    data_server: str = "https://ibl.flatironinstitute.org"
    """Address of the file server; its user and password are sent nowhere else."""
    data_user: str | None = None
    data_password: SecretStr | None = None
    remote: RemoteSettings = RemoteSettings()
    sync: SyncSettings = SyncSettings()
    layers: LayersSettings = LayersSettings()
    revision_before: date | None = None
    """Of every dataset the latest revision that is not after this day; later ones do not exist."""

    dagster_url: str = "http://127.0.0.1:3000"
    """Address of the Dagster page, for links from other pages."""
    viewer_url: str = "http://127.0.0.1:3001"
    """Address of the viewer of sessions, for links; its port is the one that it is served at."""
    demo_seed: int = 0
    right_is_positive_ml: bool = True

    thresholds: Thresholds = Thresholds()
    signal: SignalSettings = SignalSettings()
    wheel: WheelSettings = WheelSettings()
    figures: FigureSettings = FigureSettings()
    cohort: CohortSettings = CohortSettings()
    discrimination: DiscriminationSettings = DiscriminationSettings()
    models: ModelSettings = ModelSettings()
    encoding: EncodingSettings = EncodingSettings()
    overview: OverviewSettings = OverviewSettings()
    response_events: tuple[str, ...] = TRIAL_EVENTS
    analysis_contrasts: tuple[float, ...] = TASK_CONTRASTS

    session_type_words: dict[str, str] = _SESSION_TYPE_WORDS
    rejected_protocol_words: tuple[str, ...] = ("RPE", "DELAY", "delay")
    analysed_session_types: tuple[str, ...] = ("training", "biased", "ephys")
    region_fixes: dict[str, str] = {"DRN": "DR", "SNC": "SNc"}
    target_neuromodulator: dict[str, str] = _TARGET_NM
    analysed_targets: tuple[str, ...] = ("VTA-DA", "SNc-DA", "DR-5HT", "LC-NE", "NBM-ACh")
    strain_neuromodulator: dict[str, str] = _STRAIN_TO_NM
    line_neuromodulator: dict[str, str] = _LINE_TO_NM
    valid_strains: tuple[str, ...] = _STRAINS
    valid_lines: tuple[str, ...] = _LINES
    excluded_subjects: tuple[str, ...] = _EXCLUDED_SUBJECTS
    dataset_categories: dict[str, tuple[str, ...]] = _DATASET_CATEGORIES
    missing_modality: dict[str, Literal["ERROR", "WARN", "not expected"]] = {
        "trials": "ERROR",
        "photometry": "ERROR",
        "wheel": "WARN",
        "video": "WARN",
    }
    """How bad it is that a session has no data of a modality."""
    target_colors: dict[str, str] = _TARGET_COLORS
    session_type_colors: dict[str, str] = _SESSION_TYPE_COLORS
    qc_scores: dict[str, float] = {"PASS": 1.0, "WARNING": 0.66, "CRITICAL": 0.33, "FAIL": 0.0}

    @field_validator("viewer_url")
    @classmethod
    def _is_web_address(cls, url: str) -> str:
        if not url.startswith(("https://", "http://")):
            raise ValueError("an address begins with http://, like http://127.0.0.1:3001")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _project_of_layers(self) -> Settings:
        if self.layers.enabled and "project" not in self.model_fields_set:
            # the only way into a frozen model
            object.__setattr__(self, "project", self.layers.project)
        return self

    @property
    def group(self) -> str:
        """Group of stages that a root of these settings runs."""
        return "data_layers" if self.layers.enabled else "photometry"

    @field_validator("alyx_url", "data_server")
    @classmethod
    def _without_credentials(cls, url: str | None) -> str | None:
        if url and "@" in url.split("://")[-1].split("/")[0]:
            # not a ValueError, whose report would show the address
            raise SettingsError(
                "IBLNM_ALYX_URL or IBLNM_DATA_SERVER holds a user or password; addresses are "
                "shown and stored: use IBLNM_ALYX_USER and IBLNM_ALYX_PASSWORD, or "
                "IBLNM_DATA_USER and IBLNM_DATA_PASSWORD"
            )
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("an address begins with https://, like https://alyx.example.org")
        return url.rstrip("/") if url else url

    @property
    def metadata_dir(self) -> Path:
        return self.root / "metadata"

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    @property
    def results_dir(self) -> Path:
        return self.root / "results"

    @property
    def figures_dir(self) -> Path:
        return self.root / "figures"

    @property
    def sessions_h5_dir(self) -> Path:
        return self.data_dir / "sessions"

    @property
    def fibers_fpath(self) -> Path:
        return self.metadata_dir / "fibers.csv"

    @property
    def labels_fpath(self) -> Path:
        return self.metadata_dir / "labels.csv"

    @property
    def demo_dir(self) -> Path:
        return self.root / ".demo"

    @property
    def cache_dir(self) -> Path:
        """Folder of the archive, or of downloads: the configured one, else one below the root."""
        if self.one_mode == "remote":
            return self.one_cache_dir or self.root / ".one"
        return self.one_cache_dir or self.demo_dir

    @property
    def is_demo(self) -> bool:
        return self.one_mode == "local" and self.one_cache_dir is None

    @property
    def valid_targets(self) -> tuple[str, ...]:
        """Target-NM labels, for example ``VTA-DA``."""
        return tuple(f"{region}-{nm}" for region, nm in self.target_neuromodulator.items())


@cache
def get_settings() -> Settings:
    """Settings of this process, read once; `get_settings.cache_clear()` reads them anew.

    Raises
    ------
    SettingsError
        With a line for each variable that has no valid value.
    """
    from iblnm.setting_mistakes import explained

    with explained(Settings):
        return Settings()


def __getattr__(name: str) -> Any:
    from iblnm.constant_views import VIEWS

    if name in VIEWS:
        return VIEWS[name](get_settings())
    raise AttributeError(f"module 'iblnm.config' has no attribute {name!r}")


def __dir__() -> list[str]:
    from iblnm.constant_views import VIEWS

    return sorted([*globals(), *VIEWS])
