"""Rules about a session's metadata: who, what, where. Each fault is named by one rule only."""

from __future__ import annotations

from iblnm.archive.sessions import session_types
from iblnm.config import Settings
from iblnm.io.fibers import describe_fiber_table
from iblnm.io.stamps import days_apart, seconds_between
from iblnm.pipeline.rules.outcome import Finding, not_evaluated, number, unknown_without_record
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import (
    PARALLEL_LISTS,
    Row,
    as_row,
    bare_region,
    get,
    get_list,
    has_no_record,
    join,
    lists_agree,
)


def _one_list(row: Row, accepted: tuple[str, ...], what: str) -> Finding:
    value = get(row, what)
    if value is None and has_no_record(row):
        return unknown_without_record(f"the {what}")
    if value is None:
        return Finding(False, None, f"No {what} is recorded; one of {join(accepted)} is expected.")
    if value in accepted:
        return Finding(True, None, f"The {what} {value} is accepted.")
    return Finding(False, None, f"The {what} {value} is none of {join(accepted)}.")


class InvalidSubject(RuleError):
    """The subject is on the exclusion list."""


@rule(
    InvalidSubject,
    asset="session",
    level="session",
    severity="WARN",
    description="The mouse is not on the list of excluded subjects.",
    remedy=(
        "Nothing, if the mouse is excluded on purpose; otherwise take it off the list "
        "(excluded_subjects)."
    ),
)
def invalid_subject(session_row: Row, settings: Settings) -> Finding:
    subject = get(as_row(session_row), "subject")
    if subject is None:
        return Finding(False, None, "No subject is recorded.")
    if subject in settings.excluded_subjects:
        n = len(settings.excluded_subjects)
        return Finding(
            False, None, f"The subject {subject} is one of the {n} subjects to exclude."
        )
    return Finding(True, None, f"The subject {subject} is not excluded.")


class InvalidStrain(RuleError):
    """The strain is not an accepted one, or not recorded."""


@rule(
    InvalidStrain,
    asset="session",
    level="session",
    severity="WARN",
    description="The strain of the mouse is recorded and is one that the project uses.",
    remedy=("Record the strain of the mouse on Alyx, or add it to the settings (valid_strains)."),
)
def invalid_strain(session_row: Row, settings: Settings) -> Finding:
    return _one_list(as_row(session_row), settings.valid_strains, "strain")


class InvalidLine(RuleError):
    """The line is not an accepted one, or not recorded."""


@rule(
    InvalidLine,
    asset="session",
    level="session",
    severity="WARN",
    description="The transgenic line of the mouse is recorded and is one that the project uses.",
    remedy="Record the line of the mouse on Alyx, or add it to the settings (valid_lines).",
)
def invalid_line(session_row: Row, settings: Settings) -> Finding:
    return _one_list(as_row(session_row), settings.valid_lines, "line")


def _genotype_nm(row: Row, settings: Settings) -> str | None:
    by_strain = settings.strain_neuromodulator.get(get(row, "strain") or "")
    by_line = settings.line_neuromodulator.get(get(row, "line") or "")
    return by_strain or by_line or get(row, "NM")


def _target_nms(row: Row, settings: Settings) -> dict[str, str]:
    """Neuromodulator of each accepted target of the session."""
    names = [bare_region(region) for region in get_list(row, "brain_region") if region]
    known = settings.target_neuromodulator
    return {name: known[name] for name in names if name in known}


class InvalidNeuromodulator(RuleError):
    """The neuromodulator is unknown, or disagrees with the recording targets."""


@rule(
    InvalidNeuromodulator,
    asset="session",
    level="session",
    severity="WARN",
    description=(
        "The neuromodulator that the mouse's genotype expresses is known and is that of at "
        "least one recording target."
    ),
    remedy=(
        "Correct genotype or line of the mouse on Alyx, or the region of the fiber; a line "
        "that is new goes into the settings (line_neuromodulator)."
    ),
)
def invalid_neuromodulator(session_row: Row, settings: Settings) -> Finding:
    row = as_row(session_row)
    accepted = tuple(sorted(set(settings.target_neuromodulator.values())))
    stored, expressed = get(row, "NM"), _genotype_nm(row, settings)
    if expressed is None:
        if "line" in row:
            return not_evaluated("the genotype tells no neuromodulator, see invalid_line")
        return Finding(
            False, None, f"No neuromodulator is known; one of {join(accepted)} is expected."
        )
    for name in (stored, expressed):
        if name is not None and name not in accepted:
            return Finding(False, None, f"The neuromodulator {name} is none of {join(accepted)}.")
    if stored is not None and stored != expressed:
        return Finding(
            False,
            None,
            f"The session says {stored}, its genotype expresses {expressed}.",
        )
    targets = _target_nms(row, settings)
    if targets and expressed not in targets.values():
        pairs = join(f"{region} ({nm})" for region, nm in targets.items())
        return Finding(
            False,
            None,
            f"The genotype expresses {expressed}, which is the neuromodulator of no recording "
            f"target: {pairs}.",
        )
    return Finding(True, None, f"The neuromodulator {expressed} is accepted.")


class MissingBrainRegion(RuleError):
    """No source names a recording target."""


@rule(
    MissingBrainRegion,
    asset="session",
    level="recording",
    severity="WARN",
    threshold=lambda _: 1.0,
    unit="regions",
    description="At least one source names the brain region that was recorded.",
    remedy=(
        "Name the region: in the experiment description, in photometryROI.locations, or as a "
        "line of fibers.csv."
    ),
)
def missing_brain_region(session_row: Row, settings: Settings) -> Finding:
    named = [region for region in get_list(as_row(session_row), "brain_region") if region]
    if named:
        return Finding(True, float(len(named)), f"{len(named)} regions: {join(named)}.")
    return Finding(
        False,
        0.0,
        "0 regions; neither the experiment description nor the ROI locations nor the fiber "
        f"table names one, at least 1 is expected. {describe_fiber_table(settings)}",
    )


class InvalidBrainRegion(RuleError):
    """A recording target is not one of the project."""


@rule(
    InvalidBrainRegion,
    asset="session",
    level="recording",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="regions",
    description="Every recorded brain region is one of the project's targets.",
    remedy=(
        "Correct the spelling of the region, or add it to the settings (region_fixes, "
        "target_neuromodulator)."
    ),
)
def invalid_brain_region(session_row: Row, settings: Settings) -> Finding:
    named = [region for region in get_list(as_row(session_row), "brain_region") if region]
    if not named:
        return not_evaluated("no region, see missing_brain_region")
    accepted = settings.target_neuromodulator
    unknown = [region for region in named if bare_region(region) not in accepted]
    if unknown:
        return Finding(
            False,
            float(len(unknown)),
            f"{len(unknown)} of {len(named)} regions are none of {join(accepted)}: "
            f"{join(unknown)}.",
        )
    return Finding(True, 0.0, f"All regions are targets: {join(named)}.")


class InvalidSessionType(RuleError):
    """The task protocol does not name exactly one accepted session type."""


@rule(
    InvalidSessionType,
    asset="session",
    level="session",
    severity="WARN",
    threshold=lambda _: 1.0,
    unit="types",
    description=(
        "The task protocol names exactly one known session type and is not a variant of the "
        "task (RPE, delay)."
    ),
    remedy=(
        "Correct the protocol of the session on Alyx, or teach the settings its word "
        "(session_type_words)."
    ),
)
def invalid_session_type(session_row: Row, settings: Settings) -> Finding:
    row = as_row(session_row)
    # of chained tasks the one that is used
    protocol = get(row, "task_part") or get(row, "task_protocol")
    kind = get(row, "session_type")
    known = settings.session_type_words
    if protocol is None and kind is not None:
        if kind in known.values():
            return Finding(True, 1.0, f"The session type is {kind}.")
        return Finding(False, 0.0, f"The session type {kind} is none of {join(known.values())}.")
    if protocol is None and has_no_record(row):
        return unknown_without_record("the task protocol")
    if protocol is None:
        return Finding(False, 0.0, "No task protocol is recorded; exactly 1 type is expected.")
    found = session_types(protocol, settings)
    rejected = [word for word in settings.rejected_protocol_words if word in protocol]
    if rejected:
        return Finding(
            False,
            0.0,
            f"The protocol {protocol} contains {join(rejected)}, a variant that is not accepted.",
        )
    return Finding(
        len(found) == 1,
        float(len(found)),
        f"The protocol {protocol} names {len(found)} session types"
        f"{': ' + join(found) if found else ''}; exactly 1 is expected.",
    )


class AmbiguousTask(RuleError):
    """Several tasks of the session could be the one that is meant."""


@rule(
    AmbiguousTask,
    asset="session",
    level="session",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="tasks",
    description=(
        "One task of the session has the trials, with wheel and camera on the same clock; of "
        "several tasks with choices one is taken, and the others are named."
    ),
    remedy=(
        "See in the message which task was taken. If it is the wrong one, register the trials "
        "of the right one in alf/, or take the other away."
    ),
)
def ambiguous_task(session_row: Row) -> Finding:
    row = as_row(session_row)
    collection, reason = get(row, "task_collection"), get(row, "task_reason")
    if collection is None:
        return not_evaluated("the session lists no trials")
    rivals = get_list(row, "task_rivals")
    if rivals:
        return Finding(
            False,
            float(len(rivals)),
            f"{len(rivals)} other tasks could be meant: {join(rivals)}. {collection} is used: "
            f"{reason}.",
        )
    return Finding(True, 0.0, f"The task is {collection}: {reason}.")


class InvalidTargetNM(RuleError):
    """A target-neuromodulator label is not one of the project."""


@rule(
    InvalidTargetNM,
    asset="session",
    level="recording",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="targets",
    description="Every pair of target and neuromodulator is one that the project records.",
    remedy=(
        "Correct the region of the fiber or the genotype of the mouse, or add the pair to the "
        "settings (target_neuromodulator)."
    ),
)
def invalid_target_nm(session_row: Row, settings: Settings) -> Finding:
    row = as_row(session_row)
    regions = [bare_region(region) for region in get_list(row, "brain_region") if region]
    if not regions:
        return not_evaluated("no region, see missing_brain_region")
    if not lists_agree(row):
        return not_evaluated("the lists differ in length, see parallel_lists")
    labels = dict(enumerate(get_list(row, "target_NM")))
    expressed, targets = _genotype_nm(row, settings), _target_nms(row, settings)
    accepted = settings.valid_targets
    wrong = []
    for i, region in enumerate(regions):
        label = labels.get(i)
        if region not in targets or label in accepted:
            continue
        foreign = expressed not in targets.values()
        if foreign and label in (None, f"{region}-{expressed}"):
            continue
        wrong.append(label or region)
    if wrong:
        return Finding(
            False,
            float(len(wrong)),
            f"{len(wrong)} of {len(regions)} targets are none of {join(accepted)}: {join(wrong)}.",
        )
    if all(label in accepted for label in labels.values()):
        return Finding(True, 0.0, f"All targets are accepted: {join(labels.values())}.")
    return not_evaluated(
        "region or neuromodulator is not accepted, see invalid_brain_region and "
        "invalid_neuromodulator"
    )


class InvalidSessionLength(RuleError):
    """The session ends before it starts, on another day, or at no known time."""


@rule(
    InvalidSessionLength,
    asset="session",
    level="session",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="s",
    description="The session ends after it starts, on the same day.",
    remedy="Correct start or end of the session on Alyx.",
)
def invalid_session_length(session_row: Row) -> Finding:
    row = as_row(session_row)
    start_text, end_text = get(row, "start_time"), get(row, "end_time")
    length = get(row, "session_length")
    if start_text is None or end_text is None:
        if length is None and has_no_record(row):
            return unknown_without_record("when the session ended")
        if length is None:
            return Finding(False, None, "Start or end of the session is not recorded.")
        return Finding(
            float(length) > 0, number(length), f"The session lasts {float(length):.0f} s."
        )
    length, days = seconds_between(start_text, end_text), days_apart(start_text, end_text)
    if length is None:
        return Finding(False, None, f"No times: start {start_text}, end {end_text}.")
    message = f"The session starts {start_text} and ends {end_text}, after {length:.0f} s"
    if length <= 0:
        return Finding(False, length, f"{message}; more than 0 s are expected.")
    if days:
        return Finding(False, length, f"{message}; the same day is expected.")
    return Finding(True, length, f"{message}.")


class ParallelLists(RuleError):
    """Region, side and target lists differ in length."""


@rule(
    ParallelLists,
    asset="session",
    level="recording",
    severity="ERROR",
    threshold=lambda _: 1.0,
    unit="lengths",
    validator="lists",
    description=(
        "Regions, sides and targets of a session are lists of the same length, with one entry "
        "for each signal column that its description lists."
    ),
    remedy=(
        "Correct the experiment description: as many regions as the signal has columns, each "
        "with its side."
    ),
)
def parallel_lists(session_row: Row) -> Finding:
    row = as_row(session_row)
    lengths = {name: len(get_list(row, name)) for name in PARALLEL_LISTS}
    columns = get_list(row, "roi")
    if columns and lengths["brain_region"]:
        lengths["roi"] = len(columns)
    n = len(set(lengths.values()))
    words = join(f"{name} {length}" for name, length in lengths.items())
    return Finding(
        n == 1, float(n), f"Lengths: {words}; 1 length is expected.", metadata={"lengths": words}
    )
