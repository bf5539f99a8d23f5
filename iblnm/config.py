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

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from iblnm.cohort_settings import (
    CohortSettings,
    DiscriminationSettings,
    EncodingSettings,
    KernelSettings,
    ModelSettings,
    OverviewSettings,
)
from iblnm.constants import (
    TASK_CONTRASTS,
    TRIAL_EVENTS,
)
from iblnm.errors import SettingsError
from iblnm.figure_settings import FigureSettings
from iblnm.file_settings import FileLimits
from iblnm.layers.settings import LayersSettings
from iblnm.root_folder import default_root
from iblnm.server_settings import RemoteSettings, SyncSettings
from iblnm.session_settings import ChainSettings, SignalSettings, Thresholds, WheelSettings

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

    root: Path = Field(default_factory=default_root)
    """Folder of all outputs."""
    project: str = "ibl_fibrephotometry"
    """Project on Alyx whose sessions are processed."""
    one_mode: Literal["local", "remote"] = "local"
    """Where sessions come from: a folder on this machine, or an Alyx."""
    one_cache_dir: Path | None = None
    """The archive's folder, or where downloads are kept; the demo's by default."""
    alyx_url: str | None = None
    """Address of the Alyx."""
    alyx_user: str | None = None
    """Who logs in to it."""
    alyx_password: SecretStr | None = None
    """Their password; a file with a token is safer."""
    alyx_token_file: Path | None = None
    """File with a token, that only its owner can read; used in place of the password."""
    data_server: str = "https://ibl.flatironinstitute.org"
    """Address of the file server; its user and password are sent nowhere else."""
    data_user: str | None = None
    """User of the file server."""
    data_password: SecretStr | None = None
    """Password of that user."""
    pg_url_file: Path | None = None
    """File with the address of a PostgreSQL database, that only its owner can read: the history,
    the outcomes and the list of sessions are kept there, for a root that many machines share."""
    remote: RemoteSettings = RemoteSettings()
    sync: SyncSettings = SyncSettings()
    files: FileLimits = FileLimits()
    layers: LayersSettings = LayersSettings()
    revision_before: date | None = None
    """Of every dataset the latest revision that is not after this day; later ones do not exist."""

    dagster_url: str = "http://127.0.0.1:3000"
    """Address of the Dagster page, for links from other pages."""
    viewer_url: str = "http://127.0.0.1:3001"
    """Address of the viewer of sessions, for links; its port is the one that it is served at."""
    documentation_url: str = "https://int-brain-lab.github.io/iblnm"
    """Address of the documentation, for links from checks to the pages of their rules."""
    demo_seed: int = 0
    """Of the simulated archive."""
    right_is_positive_ml: bool = True
    """Whether X above 0 in the fiber table is the right hemisphere."""

    thresholds: Thresholds = Thresholds()
    signal: SignalSettings = SignalSettings()
    chains: ChainSettings = ChainSettings()
    wheel: WheelSettings = WheelSettings()
    figures: FigureSettings = FigureSettings()
    cohort: CohortSettings = CohortSettings()
    kernels: KernelSettings = KernelSettings()
    discrimination: DiscriminationSettings = DiscriminationSettings()
    models: ModelSettings = ModelSettings()
    encoding: EncodingSettings = EncodingSettings()
    overview: OverviewSettings = OverviewSettings()
    response_events: tuple[str, ...] = TRIAL_EVENTS
    """Events that responses are aligned to."""
    analysis_contrasts: tuple[float, ...] = TASK_CONTRASTS
    """Contrasts that the cohort analyses use, in percent; a session needs all of them."""

    session_type_words: dict[str, str] = _SESSION_TYPE_WORDS
    """Words of a task protocol, and the session type that each means."""
    rejected_protocol_words: tuple[str, ...] = ("RPE", "DELAY", "delay")
    """Words of protocols that are variants of the task."""
    analysed_session_types: tuple[str, ...] = ("training", "biased", "ephys")
    """Session types that the cohort analyses use."""
    region_fixes: dict[str, str] = {"DRN": "DR", "SNC": "SNc"}
    """Names of regions that mean another one."""
    target_neuromodulator: dict[str, str] = _TARGET_NM
    """The project's recording targets, and the neuromodulator of each."""
    analysed_targets: tuple[str, ...] = ("VTA-DA", "SNc-DA", "DR-5HT", "LC-NE", "NBM-ACh")
    """Targets that the cohort analyses use."""
    strain_neuromodulator: dict[str, str] = _STRAIN_TO_NM
    """Neuromodulator of a mouse by its strain."""
    line_neuromodulator: dict[str, str] = _LINE_TO_NM
    """Neuromodulator of a mouse by its transgenic line."""
    valid_strains: tuple[str, ...] = _STRAINS
    """Strains of the project."""
    valid_lines: tuple[str, ...] = _LINES
    """Transgenic lines of the project."""
    excluded_subjects: tuple[str, ...] = _EXCLUDED_SUBJECTS
    """Mice that are left out of the cohort analyses."""
    dataset_categories: dict[str, tuple[str, ...]] = _DATASET_CATEGORIES
    """Files that stand for a modality, raw and extracted, as patterns."""
    missing_modality: dict[str, Literal["ERROR", "WARN", "not expected"]] = {
        "trials": "ERROR",
        "photometry": "ERROR",
        "wheel": "WARN",
        "video": "WARN",
    }
    """How bad it is that a session has no data of a modality."""
    target_colors: dict[str, str] = _TARGET_COLORS
    """Color of each target."""
    session_type_colors: dict[str, str] = _SESSION_TYPE_COLORS
    """Color of each session type."""
    qc_scores: dict[str, float] = {"PASS": 1.0, "WARNING": 0.66, "CRITICAL": 0.33, "FAIL": 0.0}
    """Number of each verdict of Alyx's quality control."""

    @field_validator("viewer_url", "documentation_url")
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
    def remembered_dir(self) -> Path:
        return self.root / ".remembered"

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
