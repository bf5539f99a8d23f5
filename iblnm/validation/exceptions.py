"""The typed exception of every rule; `Rule.name` is its name in snake case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from iblnm.errors import IblnmError
from iblnm.validation.outcome import Outcome


class RuleError(IblnmError):
    """A rule that data broke.

    Parameters
    ----------
    message : str
        What is wrong, with the value and the limit.
    outcome : Outcome, optional
        The evaluation that failed, where there was one.
    """

    def __init__(self, message: str = "", *, outcome: Outcome | None = None):
        super().__init__(message)
        self.outcome = outcome


class InvalidSubject(RuleError):
    """The subject is on the exclusion list."""


class InvalidStrain(RuleError):
    """The strain is not an accepted one, or not recorded."""


class InvalidLine(RuleError):
    """The line is not an accepted one, or not recorded."""


class InvalidNeuromodulator(RuleError):
    """The neuromodulator is unknown, or disagrees with the recording targets."""


class MissingBrainRegion(RuleError):
    """No source names a recording target."""


class InvalidBrainRegion(RuleError):
    """A recording target is not one of the project."""


class MissingHemisphere(RuleError):
    """No source knows the side of a fibre."""


class MissingHemiSuffix(RuleError):
    """Fibres of both sides share a target, and its name does not say the side."""


class HemisphereMismatch(RuleError):
    """Two sources name different sides for one fibre."""


class MissingInsertion(RuleError):
    """Alyx lists fewer fibre insertions than the session has fibres."""


class InvalidSessionType(RuleError):
    """The task protocol does not name exactly one accepted session type."""


class InvalidTargetNM(RuleError):
    """A target-neuromodulator label is not one of the project."""


class InvalidSessionLength(RuleError):
    """The session ends before it starts, on another day, or at no known time."""


class ParallelLists(RuleError):
    """Region, side and target lists differ in length."""


class DataNotListed(RuleError):
    """A category of datasets is not registered."""


class MissingRawData(DataNotListed):
    """Raw data of a modality are not registered."""


class MissingExtractedData(DataNotListed):
    """A modality was recorded, but its extracted data are not registered."""


class TrueDuplicateSession(RuleError):
    """A subject has two usable sessions on one day.

    Parameters
    ----------
    fallback_row : Series, optional
        The session that is kept.
    """

    def __init__(
        self, message: str = "", fallback_row: Any = None, *, outcome: Outcome | None = None
    ):
        super().__init__(message, outcome=outcome)
        self.fallback_row = fallback_row


class InsufficientTrials(RuleError):
    """Too few trials."""


class ChoiceSign(RuleError):
    """Choices do not follow the sign convention of the trials table."""


class IncompleteEventTimes(RuleError):
    """An event has no time in too many trials.

    Parameters
    ----------
    missing_events : sequence of str
        The events concerned.
    """

    def __init__(
        self,
        message: str = "",
        missing_events: Sequence[str] = (),
        *,
        outcome: Outcome | None = None,
    ):
        super().__init__(message, outcome=outcome)
        if outcome is not None and not missing_events:
            missing_events = outcome.metadata.get("missing_events", ())
        self.missing_events = list(missing_events)


class BlockStructureBug(RuleError):
    """The blocks of the task are not those of its protocol."""


class MissingBlockInfo(BlockStructureBug):
    """The blocks are broken, and the session has no plan to repair them from."""


class NegativeReactionTime(RuleError):
    """Too many movements begin before the stimulus."""


class MissingResponses(RuleError):
    """No peri-event responses are stored for the session."""


class AmbiguousRegionMapping(RuleError):
    """A signal column maps to no region of the session, or to several."""


class TrialsNotInPhotometryTime(RuleError):
    """The recording does not cover the trials."""


class MissingIsosbestic(RuleError):
    """The recording has no isosbestic band."""


class QCValidationError(RuleError):
    """Raw frames fail their quality control: band inversions, early samples, or both."""


class BandInversion(QCValidationError):
    """Consecutive raw frames were taken with the same LED."""


class EarlySamples(QCValidationError):
    """Raw frames came earlier than their interval."""


class FewUniqueSamples(RuleError):
    """A signal takes too few distinct values."""


class IsosbesticFit(RuleError):
    """The regression on the isosbestic band cannot be trusted."""


class PsychometricAtBound(RuleError):
    """A psychometric parameter lies on its bound."""


class MissingVideoTimestamps(RuleError):
    """The frame times of the video cannot be read."""


class VideoLengthError(RuleError):
    """Video and session differ in length."""


class VideoTimestampsQCError(RuleError):
    """Alyx's verdict on the frame times is not PASS."""


class VideoDroppedFramesQCError(RuleError):
    """Alyx's verdict on dropped frames is not PASS."""


class VideoPinStateQCError(RuleError):
    """Alyx's verdict on the synchronisation pin is not PASS."""


def error_types(names: Iterable[str]) -> set[str]:
    """Names of errors together with those of their special cases.

    Lets a selection by an umbrella name find what is logged under the exact one.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    set of str

    Examples
    --------
    >>> sorted(error_types({"QCValidationError"}))
    ['BandInversion', 'EarlySamples', 'QCValidationError']
    """
    found = set(names)
    todo: list[type[RuleError]] = [RuleError]
    while todo:
        exception = todo.pop()
        children = exception.__subclasses__()
        if exception.__name__ in found:
            found.update(child.__name__ for child in children)
        todo.extend(children)
    return found


def umbrella_types(names: Iterable[str]) -> set[str]:
    """Names of errors together with the umbrella names they fall under.

    Examples
    --------
    >>> sorted(umbrella_types({"EarlySamples"}))
    ['EarlySamples', 'QCValidationError']
    """
    found = set(names)
    for name in list(found):
        exception = globals().get(name)
        if isinstance(exception, type) and issubclass(exception, RuleError):
            mro = exception.__mro__
            found.update(base.__name__ for base in mro[: mro.index(RuleError)])
    return found
