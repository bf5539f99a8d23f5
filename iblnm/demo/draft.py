"""A session between simulation and disk: what defects change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np

from iblnm.demo.cohort import SessionPlan, fiber_coordinates, frozen_uuid
from iblnm.demo.effects import TIMING_EFFECTS, animal_coefficients, session_coefficients
from iblnm.demo.realism import Nature, draw_nature
from iblnm.demo.session import SimulatedSession, simulate_session

Effects = Literal["realistic", "clear"]

CAMERA_HZ = 20.0
_PROTOCOL = "_iblrig_tasks_{}ChoiceWorld8.12.5"
# Alyx holds what ibllib.qc.camera writes: a verdict, or a list that begins with one
_VIDEO_QC = {
    "videoLeft": "PASS",
    "_videoLeft_brightness": "PASS",
    "_videoLeft_camera_times": ["PASS", 0],
    "_videoLeft_dropped_frames": ["PASS", 0, 0],
    "_videoLeft_file_headers": "PASS",
    "_videoLeft_focus": "PASS",
    "_videoLeft_framerate": ["PASS", CAMERA_HZ],
    "_videoLeft_pin_state": ["PASS", 0, 0],
    "_videoLeft_position": "PASS",
    "_videoLeft_resolution": "PASS",
    "_videoLeft_timestamps": "PASS",
    "_videoLeft_wheel_alignment": ["PASS", 0],
}


PULSE_JITTER_S = 2e-4
"""Standard deviation of the stamps of pulses in the log of the photometry's camera."""


class Draft:
    """A simulated session and its records, ready to be changed and written.

    Parameters
    ----------
    plan : SessionPlan
    seed : int
    duration_s : float
    effects : {'realistic', 'clear'}
        Responses of `iblnm.demo.effects` with the noise of `iblnm.demo.realism`; or strong ones
        that are the same in every trial, animal and session.
    """

    def __init__(
        self, plan: SessionPlan, seed: int, duration_s: float, effects: Effects = "realistic"
    ):
        sequence = np.random.SeedSequence([seed, 2, plan.index])
        simulated, drafted = sequence.spawn(2)
        self.plan = plan
        self.seed = seed
        self.rng = np.random.default_rng(drafted)
        self.eid = frozen_uuid(seed, plan.relative_path)
        self.simulated: SimulatedSession = simulate_session(
            simulated,
            duration_s=duration_s,
            n_trials=plan.n_trials,
            fibers=plan.fibers,
            session_type=plan.session_type,
            psychometric=plan.psychometric,
            contrasts=plan.contrasts,
            rate_hz=plan.rate_hz,
            has_isosbestic=plan.has_isosbestic,
            natures=self._natures() if effects == "realistic" else None,
            **plan.options,
        )
        self.fibers = plan.fibers
        self.trials = self.simulated.trials
        self.frames = self.simulated.frames
        self.wheel_times = self.simulated.wheel_times
        self.wheel_position = self.simulated.wheel_position
        self.truth: dict[str, Any] = dict(self.simulated.truth)
        # session clock 0 is a few seconds after the start of the session
        self.length_s = float(self.trials["intervals_1"].iloc[-1]) + 12.0
        self.end: datetime = plan.start + timedelta(seconds=round(self.length_s, 3))
        last = float(self.trials["intervals_1"].iloc[-1])
        n_frames = int((last + 12.0) * CAMERA_HZ)
        self.camera_times = np.round(-4.0 + np.arange(n_frames) / CAMERA_HZ, 6)
        self.task_protocol = _PROTOCOL.format(plan.session_type)
        self.session_json: dict[str, Any] | None = dict(self.simulated.plan)
        self.extended_qc: dict[str, Any] = dict(_VIDEO_QC)
        aliases = {"DR": "DRN", "SNc": "SNC"} if plan.index % 3 == 0 else {}
        self.names = [
            aliases.get(f.region, f.region) + (f"-{f.hemisphere}" if plan.has_suffix else "")
            for f in self.fibers
        ]
        self.location_names: list[str] | None = None
        self.insertions, self.trajectories = self._implants()
        self.omitted: tuple[str, ...] = ()
        self.truncated: str | None = None
        self.pulse_jitter_s = PULSE_JITTER_S
        # a collection with the trials of another task
        self.other_task: str | None = None
        if plan.defect is not None and plan.defect.apply is not None:
            plan.defect.apply(self)

    @property
    def expected_failures(self) -> list[str]:
        """Names of the checks that must fail."""
        found = set(self.plan.defect.checks) if self.plan.defect else set()
        return sorted(found)

    @property
    def open_checks(self) -> list[str]:
        """Checks whose outcome the design does not decide.

        With contrasts of 50 and 100 % only, threshold and bias are not identifiable.
        """
        found = set(self.plan.defect.open_checks) if self.plan.defect else set()
        if self.plan.is_early:
            found.add("psychometric_at_bound")
        return sorted(found)

    @property
    def expected_asset_failures(self) -> list[str]:
        """Assets that cannot be computed."""
        return list(self.plan.defect.assets) if self.plan.defect else []

    @property
    def is_clean(self) -> bool:
        """Whether every check must pass and every asset be there."""
        return self.plan.defect is None and not self.plan.is_early

    def rename(self, name: str) -> None:
        """Give the first fiber's region another name."""
        self.names[0] = name

    def cut_frames(self, first: int) -> None:
        """Drop the frames before `first`, keeping that of the LEDs' start."""
        frames = self.frames
        keep = np.r_[first : len(frames.times)]
        first_state, first_band = frames.state[0], frames.band[0]
        for name in ("times", "band", "valid", "state", "raw_times"):
            setattr(frames, name, getattr(frames, name)[keep])
        frames.columns = {roi: values[keep] for roi, values in frames.columns.items()}
        frames.state[0], frames.band[0] = first_state, first_band

    def _natures(self) -> list[Nature]:
        """What the recordings have of their animals and of the session."""
        natures = []
        for i, fiber in enumerate(self.plan.fibers):
            of_session = np.random.SeedSequence([self.seed, 4, self.plan.index, i])
            animal = animal_coefficients(fiber.target, self.seed, self.plan.subject.index, i)
            rng = np.random.default_rng(of_session)
            natures.append(
                draw_nature(
                    rng,
                    session_coefficients(fiber.target, animal, rng),
                    TIMING_EFFECTS.get(fiber.target, 0.0),
                )
            )
        return natures

    def _implants(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        subject = self.plan.subject
        insertions, trajectories = [], []
        for i, fiber in enumerate(self.fibers):
            region = f"{fiber.region}-{fiber.hemisphere}"
            identifier = frozen_uuid(self.seed, "insertion", self.plan.relative_path, i)
            chronic = (
                frozen_uuid(self.seed, "chronic", subject.nickname, i)
                if subject.is_chronic
                else None
            )
            insertions.append(
                {
                    "id": identifier,
                    "name": f"fiber{i:02d}" if subject.is_chronic else region,
                    "json": {"roi": fiber.roi, "brain_region": region},
                    "chronic_insertion": chronic,
                }
            )
            x, y, z, depth = fiber_coordinates(fiber.target, fiber.hemisphere)
            owner = chronic or identifier
            trajectories.append(
                {
                    "id": frozen_uuid(self.seed, "trajectory", owner),
                    "probe_insertion": None if chronic else identifier,
                    "chronic_insertion": chronic,
                    "x": x,
                    "y": y,
                    "z": z,
                    "depth": depth,
                    "theta": 0,
                    "phi": 180,
                    "roll": 0,
                    "provenance": "Planned",
                    "probe_name": insertions[-1]["name"],
                }
            )
        return insertions, trajectories
