"""Writes the simulated archive: ALF tree, ONE tables, records, fiber table, truth."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.demo import effects as planted
from iblnm.demo import photometry, raw_task, records
from iblnm.demo.behavior import EARLY_CONTRASTS, FULL_CONTRASTS
from iblnm.demo.cohort import SessionPlan, fiber_table, make_cohort
from iblnm.demo.defect import N_SUBJECTS, SESSIONS_PER_SUBJECT
from iblnm.demo.defects import DEFECTS
from iblnm.demo.draft import CAMERA_HZ, Draft, Effects
from iblnm.demo.files import write_session
from iblnm.errors import ArchiveMismatchError

STAMP = "demo.json"
# raised whenever the same parameters give other files
VERSION = 4
_CREATED = "2024-06-01 00:00"
_PROJECT = "ibl_fibrephotometry"

Progress = Callable[[int, int], None]


def build_archive(
    cache_dir: Path | str,
    *,
    seed: int = 0,
    n_subjects: int = N_SUBJECTS,
    sessions_per_subject: int = SESSIONS_PER_SUBJECT,
    duration_s: float = 1500.0,
    defects: bool = True,
    effects: Effects = "realistic",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Build a simulated archive in place.

    Parameters
    ----------
    cache_dir : Path
        Root of the ONE cache: new, or empty.
    seed : int
        The same seed and sizes give the same files, byte for byte.
    n_subjects, sessions_per_subject : int
        Regular sessions; faults take some of them and add a few more.
    duration_s : float
        Length of the task. Below about 1200 s the fits of a session without fault may
        reach their bounds for lack of trials.
    defects : bool
        Whether to plant one fault of every kind; needs at least
        `iblnm.demo.defect.SMALLEST`.
    effects : {'realistic', 'clear'}
        Responses that differ between trials, sessions and animals, under the noise of real
        recordings, with the planted value of every coefficient of the mixed models in the truth;
        or strong ones that are the same everywhere.
    progress : callable, optional
        Called with the number of sessions written and in total.

    Returns
    -------
    dict
        The truth, as in ``truth.json``.

    Raises
    ------
    ArchiveMismatchError
        If the folder is not empty.
    """
    folder = Path(cache_dir)
    if folder.exists() and any(folder.iterdir()):
        raise ArchiveMismatchError(
            f"{folder} is not empty; a simulated archive is built in a new or empty folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    parameters = _parameters(seed, n_subjects, sessions_per_subject, duration_s, defects, effects)
    plans = make_cohort(
        seed, n_subjects, sessions_per_subject, duration_s, list(DEFECTS) if defects else []
    )
    sessions, datasets, truths = [], [], []
    written: set[str] = set()
    for done, plan in enumerate(plans, start=1):
        draft = Draft(plan, seed, duration_s, effects)
        listed = write_session(draft, folder)
        records.write_records(draft, listed, folder / ".alyx", written)
        sessions.append(_session_row(draft))
        datasets.append(listed.assign(eid=draft.eid))
        truths.append(_session_truth(draft))
        if progress is not None:
            progress(done, len(plans))
    _write_tables(folder, sessions, datasets, seed)
    subjects = {plan.subject.nickname: plan.subject for plan in plans}
    _write_text(folder / "fibers.csv", _fibers_csv(list(subjects.values())))
    truth = _truth(parameters, plans, truths)
    _write_text(folder / "truth.json", records.to_json(truth, indent=1))
    _write_text(folder / STAMP, records.to_json(parameters))
    return truth


def ensure_archive(
    cache_dir: Path | str,
    *,
    seed: int = 0,
    n_subjects: int = N_SUBJECTS,
    sessions_per_subject: int = SESSIONS_PER_SUBJECT,
    duration_s: float = 1500.0,
    defects: bool = True,
    effects: Effects = "realistic",
    progress: Progress | None = None,
) -> Path:
    """Build a simulated archive unless it is there; a broken-off build leaves nothing there.

    Parameters
    ----------
    cache_dir, seed, n_subjects, sessions_per_subject, duration_s, defects, effects, progress
        See `build_archive`.

    Returns
    -------
    Path
        `cache_dir`.

    Raises
    ------
    ArchiveMismatchError
        If the folder holds anything else, or an archive with other parameters.
    """
    from filelock import FileLock

    folder = Path(cache_dir).absolute()
    parameters = _parameters(seed, n_subjects, sessions_per_subject, duration_s, defects, effects)
    if _is_complete(folder, parameters):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        # another process may have built it while this one waited
        if _is_complete(folder, parameters):
            return folder
        prefix = f"{folder.name}.partial-"
        for left_over in folder.parent.glob(f"{prefix}*"):
            shutil.rmtree(left_over, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        try:
            build_archive(
                partial,
                seed=seed,
                n_subjects=n_subjects,
                sessions_per_subject=sessions_per_subject,
                duration_s=duration_s,
                defects=defects,
                effects=effects,
                progress=progress,
            )
            partial.chmod(0o755)
            if folder.exists():
                # empty, as seen above; a rename cannot take its place on every system
                folder.rmdir()
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _is_complete(folder: Path, parameters: dict[str, Any]) -> bool:
    """Whether the archive is there; False for an absent or empty folder."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    stamp = folder / STAMP
    if not stamp.is_file():
        raise ArchiveMismatchError(
            f"{folder} exists and is no simulated archive ({STAMP} is missing); choose another "
            "folder"
        )
    found = json.loads(stamp.read_text(encoding="utf-8"))
    if found != parameters:
        differing = sorted(k for k in parameters | found if parameters.get(k) != found.get(k))
        words = ", ".join(f"{k} {found.get(k)}, wanted {parameters.get(k)}" for k in differing)
        raise ArchiveMismatchError(
            f"{folder} holds another simulated archive ({words}); remove it or choose another "
            "folder"
        )
    return True


def _parameters(
    seed: int,
    n_subjects: int,
    sessions_per_subject: int,
    duration_s: float,
    defects: bool,
    effects: Effects,
) -> dict[str, Any]:
    return {
        "seed": int(seed),
        "n_subjects": int(n_subjects),
        "sessions_per_subject": int(sessions_per_subject),
        "duration_s": float(duration_s),
        "defects": bool(defects),
        "version": VERSION,
        "effects": effects,
    }


def _session_row(draft: Draft) -> dict[str, Any]:
    plan = draft.plan
    return {
        "id": draft.eid,
        "lab": plan.subject.lab,
        "subject": plan.subject.nickname,
        "date": plan.start.date(),
        "number": plan.number,
        "task_protocol": draft.task_protocol,
        "projects": _PROJECT,
    }


def _write_tables(
    folder: Path, sessions: list[dict[str, Any]], datasets: list[pd.DataFrame], seed: int
) -> None:
    """Write the tables of ONE with the types of `one.alf.cache.make_parquet_db`."""
    from iblutil.io import parquet
    from one.alf.cache import DATASETS_COLUMNS, SESSIONS_COLUMNS

    metadata = {"date_created": _CREATED, "origin": f"iblnm demo, seed {seed}"}
    listed = pd.DataFrame(sessions)[list(SESSIONS_COLUMNS)].astype(SESSIONS_COLUMNS)
    parquet.save(folder / "sessions.pqt", listed.set_index("id").sort_index(), metadata)
    files = pd.concat(datasets).reset_index().assign(exists=True, qc="NOT_SET")
    files = files[list(DATASETS_COLUMNS)].astype(DATASETS_COLUMNS)
    parquet.save(folder / "datasets.pqt", files.set_index(["eid", "id"]).sort_index(), metadata)


def _session_truth(draft: Draft) -> dict[str, Any]:
    plan = draft.plan
    return {
        "eid": draft.eid,
        "path": plan.relative_path,
        "subject": plan.subject.nickname,
        "lab": plan.subject.lab,
        "number": plan.number,
        "start_time": plan.start.isoformat(),
        "session_type": plan.session_type,
        "task_protocol": draft.task_protocol,
        "session_length_s": (draft.end - plan.start).total_seconds(),
        "target_NM": [fiber.target for fiber in draft.fibers],
        "recording_names": draft.simulated.recording_names,
        "hemisphere": [fiber.hemisphere for fiber in draft.fibers],
        "roi": [fiber.roi for fiber in draft.fibers],
        "region_source": plan.region_source,
        "task_collection": plan.task_collection,
        "valid_column": "include" if plan.is_old_layout and not plan.has_isosbestic else "valid",
        "n_video_frames": len(draft.camera_times),
        "camera_rate_hz": CAMERA_HZ,
        "defect": plan.defect.name if plan.defect else None,
        "defect_note": plan.defect.note if plan.defect else None,
        "expected_failures": draft.expected_failures,
        "open_checks": draft.open_checks,
        "expected_asset_failures": draft.expected_asset_failures,
        "is_clean": draft.is_clean,
        **raw_task.clock_truth(draft),
        **draft.truth,
    }


def _truth(
    parameters: dict[str, Any], plans: list[SessionPlan], sessions: list[dict[str, Any]]
) -> dict[str, Any]:
    targets = sorted({target for plan in plans for target, _ in plan.subject.fibers})
    return {
        "seed": parameters["seed"],
        "parameters": parameters,
        "psychometric": "P(right) = lapse_left + (1 - lapse_left - lapse_right) * "
        "(erf((contrast - bias) / threshold) + 1) / 2; bias moves by bias_shift between left "
        "probability 0.2 and 0.8",
        **_planted(targets, plans, parameters),
        "sessions": sessions,
    }


def _planted(
    targets: list[str], plans: list[SessionPlan], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Responses of the targets, and of the animals where they differ."""
    if parameters["effects"] == "clear":
        contrasts = tuple(sorted({*FULL_CONTRASTS, *EARLY_CONTRASTS}))
        amplitudes = {t: photometry.amplitude_table(t, contrasts) for t in targets}
        return {"response_amplitudes": amplitudes}
    subjects = {plan.subject.nickname: plan.subject for plan in plans}
    animals = [
        {"subject": name, "target_NM": target, "hemisphere": side, "coefficients": own}
        for name, subject in sorted(subjects.items())
        for (target, side), own in zip(
            subject.fibers,
            planted.reported_of_animal(subject.fibers, subject.index, parameters["seed"]),
            strict=True,
        )
    ]
    return {"coefficients": planted.reported_coefficients(targets), "animals": animals}


def _fibers_csv(subjects: list[Any]) -> str:
    subjects = sorted(subjects, key=lambda subject: subject.index)
    return fiber_table(subjects).to_csv(index=False, lineterminator="\n")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
