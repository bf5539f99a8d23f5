"""Rules about the list of a session's datasets; nothing is downloaded.

A modality (trials, photometry, wheel, video) of which nothing is listed was not recorded, or its
files were lost: `missing_raw_data` names it. One that was recorded and not extracted is named by
`missing_extracted_data`, which only warns: it is read from the raw files meanwhile, and
marked. Raw files that were not kept beside extracted ones are no fault. How bad
a missing modality is, is a setting (``Settings.missing_modality``). `data_not_listed` is about
the categories that belong to no modality's own check, and leaves out those that a missing
modality explains.
"""

from __future__ import annotations

from iblnm.config import Settings
from iblnm.pipeline.rules.outcome import Finding
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import Row, as_row, join, listed_categories

MODALITIES = {
    "trials": ("raw_task", "extracted_task"),
    "photometry": ("raw_photometry_signals", "extracted_photometry_signal"),
    "wheel": ("raw_wheel", "extracted_wheel"),
    "video": ("raw_video", "raw_video"),
}
# a file that accompanies another counts where that one is what the signal is taken from
_ACCOMPANIES = {
    "raw_photometry_channels": "raw_photometry_signals",
    "raw_photometry_inputs": "raw_photometry_signals",
    "extracted_photometry_locations": "extracted_photometry_signal",
}


def missing_modalities(session_row: Row, settings: Settings) -> dict[str, str]:
    """Modalities without extracted data, and the rule that names the fault.

    Returns
    -------
    dict
        ``trials``, ``photometry``, ``wheel`` or ``video`` to ``missing_raw_data`` or
        ``missing_extracted_data``. Modalities that the settings do not expect are left out.
    """
    listed = listed_categories(as_row(session_row), settings)
    return {
        modality: "missing_extracted_data" if raw in listed else "missing_raw_data"
        for modality, (raw, extracted) in MODALITIES.items()
        if extracted not in listed and _severity(modality, settings) != "not expected"
    }


def has_responses(listed: set[str]) -> bool:
    """Whether the categories that a session lists have what peri-event responses are made of.

    Trials and signal, extracted, or raw files that can be put on one clock.
    """
    raw_signal = {"raw_photometry_signals", "raw_photometry_inputs"}
    return bool(listed & {*MODALITIES["trials"]}) and (
        "extracted_photometry_signal" in listed or listed >= raw_signal
    )


def _severity(modality: str, settings: Settings) -> str:
    return settings.missing_modality.get(modality, "not expected")


def _modality_finding(session_row: Row, settings: Settings, rule_name: str) -> Finding:
    """Which modalities a rule names, at the severity of the worst of them."""
    faults = missing_modalities(session_row, settings)
    missing = [modality for modality, name in faults.items() if name == rule_name]
    is_raw = rule_name == "missing_raw_data"
    table = [
        {
            "modality": modality,
            "expected": join(settings.dataset_categories[category]),
            "listed": modality not in missing,
            "if missing": _severity(modality, settings),
        }
        for modality, (raw, extracted) in MODALITIES.items()
        for category in ({raw, extracted} if is_raw else {extracted})
    ]
    if not missing:
        what = "is missing altogether" if is_raw else "was recorded without being extracted"
        return Finding(True, 0.0, f"No modality {what}.", metadata={"modalities": table})
    what = "Neither raw nor extracted data" if is_raw else "Raw data but no extracted data"
    meanwhile = "" if is_raw else " They are read from the raw files meanwhile."
    # what was not extracted yet is read from the raw files
    severities = [_severity(modality, settings) for modality in missing if is_raw]
    return Finding(
        False,
        float(len(missing)),
        f"{what} of {len(missing)} of {len(MODALITIES)} modalities are listed: {join(missing)}."
        f"{meanwhile}",
        metadata={"missing": join(missing), "modalities": table},
        severity="ERROR" if "ERROR" in severities else "WARN",
    )


class DataNotListed(RuleError):
    """A category of datasets is not registered."""


class MissingRawData(DataNotListed):
    """Neither raw nor extracted data of a modality are registered."""


@rule(
    MissingRawData,
    asset="session",
    level="session",
    severity="ERROR",
    threshold=lambda _: 0.0,
    unit="modalities",
    validator="datasets",
    description=(
        "Trials, photometry, wheel and video were recorded: raw or extracted files are "
        "registered; a missing wheel or video only warns."
    ),
    remedy=(
        "Look whether the recording failed or the files lie elsewhere: copy them to where the "
        "session belongs, or label the session drop. That a modality is not expected at all "
        "is a setting (missing_modality)."
    ),
)
def missing_raw_data(session_row: Row, settings: Settings) -> Finding:
    return _modality_finding(session_row, settings, "missing_raw_data")


class MissingExtractedData(DataNotListed):
    """A modality was recorded, but its extracted data are not registered."""


@rule(
    MissingExtractedData,
    asset="session",
    level="session",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="modalities",
    validator="datasets",
    description=(
        "Every modality with raw files has its extracted files; it only warns, as trials, wheel "
        "and photometry are taken from the raw files meanwhile."
    ),
    remedy=(
        "Nothing is lost: the raw files are read meanwhile. Extract the session (or wait for "
        "it), and run iblnm batch again."
    ),
)
def missing_extracted_data(session_row: Row, settings: Settings) -> Finding:
    return _modality_finding(session_row, settings, "missing_extracted_data")


@rule(
    DataNotListed,
    asset="session",
    level="session",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="categories",
    validator="datasets",
    description=(
        "The tables of photometry channels, digital inputs and fiber locations are registered "
        "beside the signal that they belong to."
    ),
    remedy=(
        "Register the tables of raw_photometry_data that belong to the signal; without them "
        "the columns are named by the description alone."
    ),
)
def data_not_listed(session_row: Row, settings: Settings) -> Finding:
    listed = listed_categories(as_row(session_row), settings)
    own_checks = {category for pair in MODALITIES.values() for category in pair}
    categories = [name for name in settings.dataset_categories if name not in own_checks]
    used = {
        extracted if extracted in listed else raw
        for raw, extracted in MODALITIES.values()
        if {raw, extracted} & listed
    }
    missing = [
        name
        for name in categories
        if name not in listed and _ACCOMPANIES.get(name, name) in {name, *used}
    ]
    if missing:
        return Finding(
            False,
            float(len(missing)),
            f"{len(missing)} of {len(categories)} further categories have no dataset: "
            f"{join(missing)}.",
            metadata={"missing": join(missing)},
        )
    return Finding(True, 0.0, "No further category of datasets is missing.")
