"""Rules about the list of a session's datasets; nothing is downloaded.

A modality (trials, photometry, wheel) that was never recorded lacks raw and extracted data
alike: that is one fault, which `missing_raw_data` names. `missing_extracted_data` is about
modalities that were recorded but not extracted. `data_not_listed` is about the categories
that belong to no modality's own check, and leaves out those that a missing modality explains.
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
}
# a file that accompanies another is not reported when that one is missing
_ACCOMPANIES = {
    "raw_photometry_channels": "raw_photometry_signals",
    "extracted_photometry_locations": "extracted_photometry_signal",
}


def missing_modalities(session_row: Row, settings: Settings) -> dict[str, str]:
    """Modalities without extracted data, and the rule that names the fault.

    Returns
    -------
    dict
        ``trials``, ``photometry`` or ``wheel`` to ``missing_raw_data`` or
        ``missing_extracted_data``.
    """
    listed = listed_categories(as_row(session_row), settings)
    return {
        modality: "missing_extracted_data" if raw in listed else "missing_raw_data"
        for modality, (raw, extracted) in MODALITIES.items()
        if extracted not in listed
    }


def _modality_finding(missing: list[str], what: str, settings: Settings, side: int) -> Finding:
    table = [
        {
            "modality": modality,
            "expected": join(settings.dataset_categories[categories[side]]),
            "listed": modality not in missing,
        }
        for modality, categories in MODALITIES.items()
    ]
    if missing:
        message = f"{what} of {len(missing)} of {len(MODALITIES)} modalities are not listed: "
        message += f"{join(missing)}."
    else:
        message = f"No modality lacks its {what.lower()}."
    return Finding(
        not missing,
        float(len(missing)),
        message,
        metadata={"missing": join(missing), "modalities": table},
    )


class DataNotListed(RuleError):
    """A category of datasets is not registered."""


class MissingRawData(DataNotListed):
    """Raw data of a modality are not registered."""


@rule(
    MissingRawData,
    asset="session",
    level="session",
    severity="ERROR",
    threshold=lambda _: 0.0,
    unit="modalities",
    validator="datasets",
    description=(
        "The raw files of the task, the photometry and the wheel are registered; what has "
        "extracted data is processed all the same."
    ),
)
def missing_raw_data(session_row: Row, settings: Settings) -> Finding:
    listed = listed_categories(as_row(session_row), settings)
    missing = [modality for modality, (raw, _) in MODALITIES.items() if raw not in listed]
    return _modality_finding(missing, "Raw data", settings, 0)


class MissingExtractedData(DataNotListed):
    """A modality was recorded, but its extracted data are not registered."""


@rule(
    MissingExtractedData,
    asset="session",
    level="session",
    severity="ERROR",
    threshold=lambda _: 0.0,
    unit="modalities",
    validator="datasets",
    description=(
        "Every modality (trials, photometry, wheel) with raw files has its extracted files; "
        "one without them is not processed."
    ),
)
def missing_extracted_data(session_row: Row, settings: Settings) -> Finding:
    faults = missing_modalities(session_row, settings)
    missing = [modality for modality, name in faults.items() if name == "missing_extracted_data"]
    return _modality_finding(missing, "Extracted data", settings, 1)


@rule(
    DataNotListed,
    asset="session",
    level="session",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="categories",
    validator="datasets",
    description=(
        "Video, photometry channels and fiber locations are registered; the task, photometry "
        "and wheel files themselves have checks of their own."
    ),
)
def data_not_listed(session_row: Row, settings: Settings) -> Finding:
    listed = listed_categories(as_row(session_row), settings)
    own_checks = {category for pair in MODALITIES.values() for category in pair}
    categories = [name for name in settings.dataset_categories if name not in own_checks]
    missing = [
        name
        for name in categories
        if name not in listed and _ACCOMPANIES.get(name, name) not in own_checks - listed
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
