"""Fibers, their insertions, the excitation of each band and the indicator, for NWB.

Wavelengths are the nominal ones of the Neurophotometrics systems that IBL records with; the
archive has no record of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from iblnm.constants import REFERENCE_BAND, SIGNAL_BAND

if TYPE_CHECKING:
    from ndx_fiber_photometry import FiberPhotometry, FiberPhotometryTable
    from ndx_ophys_devices import Indicator, OpticalFiber
    from pynwb import NWBFile

    from iblnm.config import Settings
    from iblnm.export.content import SessionContent

EXCITATION_NM = {SIGNAL_BAND: 470.0, REFERENCE_BAND: 415.0}
"""Nominal excitation of each band [nm]."""
# Chen et al. 2013, Nature 499:295: the peak of GCaMP6 lies at 512 to 515 nm
EMISSION_NM = 512.0
"""Peak of the emission of GCaMP [nm]."""
# the reporter lines of the Allen Institute
_INDICATORS = {"Ai95": "GCaMP6f", "Ai148": "GCaMP6f", "Ai96": "GCaMP6s", "Ai162": "GCaMP6s"}
_SIDES = {"l": "left", "r": "right"}
_UM_PER_MM = 1000.0


def indicator_name(genotype: str) -> str:
    """Indicator that a line or genotype says; GCaMP where it says none.

    Examples
    --------
    >>> indicator_name("Ai148xDat"), indicator_name("")
    ('GCaMP6f', 'GCaMP')
    """
    return next((name for line, name in _INDICATORS.items() if line in genotype), "GCaMP")


def insertion_angles(theta: float, phi: float, *, right_is_positive_ml: bool) -> dict[str, float]:
    """Yaw and pitch [degrees] of a fiber that points to its tip, as ndx-ophys-devices has them.

    Parameters
    ----------
    theta, phi : float
        Polar angle and azimuth of the fiber table [degrees], see `iblnm.io.fibers.fiber_tip`.
    right_is_positive_ml : bool
        Whether the table's x points to the right.

    Returns
    -------
    dict of str to float
        ``yaw``, + to the right of the nose's direction, and ``pitch``, + upwards: −90 of a
        vertical fiber, whose yaw is 0.

    Examples
    --------
    >>> insertion_angles(0.0, 180.0, right_is_positive_ml=True)
    {'yaw': 0.0, 'pitch': -90.0}
    >>> found = insertion_angles(10.0, 180.0, right_is_positive_ml=True)
    >>> [round(angle, 9) for angle in found.values()]
    [90.0, -80.0]
    """
    polar, azimuth = np.deg2rad(theta), np.deg2rad(phi)
    right = -np.sin(polar) * np.cos(azimuth) * (1 if right_is_positive_ml else -1)
    front, up = -np.sin(polar) * np.sin(azimuth), -np.cos(polar)
    is_vertical = np.hypot(right, front) < 1e-12
    yaw = 0.0 if is_vertical else float(np.rad2deg(np.arctan2(right, front)))
    return {"yaw": yaw, "pitch": float(np.rad2deg(np.arcsin(up)))}


def insertion_fields(
    implant: dict[str, Any] | None, side: str | None, *, right_is_positive_ml: bool
) -> dict[str, Any]:
    """Fields of a ``FiberInsertion`` as far as they are known [mm, degrees].

    Parameters
    ----------
    implant : dict or None
        Row of the fiber table.
    side : {'l', 'r', None}
    right_is_positive_ml : bool

    Returns
    -------
    dict
    """
    fields: dict[str, Any] = {} if side is None else {"hemisphere": _SIDES[side]}
    if implant is None:
        return fields
    sign = 1.0 if right_is_positive_ml else -1.0
    numbers = {
        "insertion_position_ap_in_mm": implant["Y-ap_um"] / _UM_PER_MM,
        "insertion_position_ml_in_mm": sign * implant["X-ml_um"] / _UM_PER_MM,
        "insertion_position_dv_in_mm": implant["Z-dv_um"] / _UM_PER_MM,
        "depth_in_mm": implant["depth"] / _UM_PER_MM,
    }
    if np.isfinite(implant["theta"]) and (np.isfinite(implant["phi"]) or implant["theta"] == 0):
        azimuth = implant["phi"] if np.isfinite(implant["phi"]) else 0.0
        angles = insertion_angles(
            implant["theta"], azimuth, right_is_positive_ml=right_is_positive_ml
        )
        numbers |= {f"insertion_angle_{name}_in_deg": angle for name, angle in angles.items()}
    fields |= {name: float(value) for name, value in numbers.items() if np.isfinite(value)}
    fields["position_reference"] = (
        "(AP, ML, DV) = (0, 0, 0) is bregma; the position is that of the entry into the brain"
    )
    return fields


def add_fibers(
    nwbfile: NWBFile, content: SessionContent, settings: Settings
) -> FiberPhotometryTable:
    """Add devices and ``lab_meta_data/fiber_photometry``.

    Returns
    -------
    FiberPhotometryTable
        Rows by band, then by recording, in the order of the columns of `content.bands`.
    """
    from ndx_fiber_photometry import FiberPhotometryTable
    from ndx_ophys_devices import ExcitationSource, Photodetector

    fibers = {
        fiber["recording_name"]: _optical_fiber(nwbfile, fiber, settings)
        for fiber in content.fibers
    }
    known = {fiber["recording_name"]: fiber for fiber in content.fibers}
    indicator = _indicator(content)
    detector = Photodetector(name="photodetector", description="Camera of the photometry system.")
    nwbfile.add_device(detector)
    table = FiberPhotometryTable(
        name="fiber_photometry_table",
        description="One row per band and fiber. Excitation wavelengths are nominal; the "
        "emission wavelength is the peak of GCaMP.",
    )
    for name, description in (
        ("recording_name", "Name of the recording: the region of the fiber, unique."),
        ("fiber_idx", "Fiber of the session, from 0."),
        ("band", "Excitation channel: GCaMP is the signal, Isosbestic its reference."),
        ("hemisphere", "Side of the fiber: left, right, unknown."),
        ("target_NM", "Target and neuromodulator; unknown where either is."),
    ):
        table.add_column(name=name, description=description)
    for band, frame in content.bands.items():
        source = ExcitationSource(
            name=f"excitation_source_{band.lower()}",
            description=f"Light of the band {band}, nominally {EXCITATION_NM[band]:.0f} nm.",
        )
        nwbfile.add_device(source)
        for recording in frame.columns:
            fiber = known[recording]
            table.add_row(
                location=fiber["brain_region"] or "unknown",
                excitation_wavelength_in_nm=EXCITATION_NM[band],
                emission_wavelength_in_nm=EMISSION_NM,
                indicator=indicator,
                optical_fiber=fibers[recording],
                excitation_source=source,
                photodetector=detector,
                recording_name=recording,
                fiber_idx=fiber["fiber_idx"],
                band=band,
                hemisphere=_SIDES.get(fiber["hemisphere"], "unknown"),
                target_NM=fiber["target_NM"] or "unknown",
            )
    nwbfile.add_lab_meta_data(_photometry(table, indicator))
    return table


def _photometry(table: FiberPhotometryTable, indicator: Indicator) -> FiberPhotometry:
    from ndx_fiber_photometry import FiberPhotometry, FiberPhotometryIndicators

    return FiberPhotometry(
        name="fiber_photometry",
        fiber_photometry_table=table,
        fiber_photometry_indicators=FiberPhotometryIndicators(indicators=[indicator]),
    )


def _indicator(content: SessionContent) -> Indicator:
    from ndx_ophys_devices import Indicator

    line = content.session["line"]
    words = " ".join([str(line), *content.session["genotype"]])
    expressed = {
        fiber["implant"]["expression"]
        for fiber in content.fibers
        if fiber["implant"] is not None and fiber["implant"].get("expression")
    }
    how = f" Expression: {', '.join(sorted(expressed))}." if expressed else ""
    return Indicator(
        name="indicator",
        label=indicator_name(words),
        description=f"Calcium indicator, as far as the genotype says it.{how}",
    )


def _optical_fiber(nwbfile: NWBFile, fiber: dict[str, Any], settings: Settings) -> OpticalFiber:
    from ndx_ophys_devices import FiberInsertion, OpticalFiber

    implant = fiber["implant"]
    insertion = FiberInsertion(
        name="fiber_insertion",
        **insertion_fields(
            implant,
            fiber["hemisphere"],
            right_is_positive_ml=settings.right_is_positive_ml,
        ),
    )
    words = [f"Fiber {fiber['fiber_idx']}: {fiber['recording_name']}."]
    if implant is None:
        words.append("The fiber table does not have it.")
    else:
        words += [
            f"{title}: {implant[name]}."
            for name, title in (
                ("fiber_length_mm", "Length [mm]"),
                ("fiber_tip", "Tip"),
                ("surgery_date", "Surgery"),
            )
            if implant.get(name)
        ]
    model = _fiber_model(nwbfile, implant)
    device = OpticalFiber(
        name=f"optical_fiber_{fiber['recording_name']}",
        description=" ".join(words),
        fiber_insertion=insertion,
        **({} if model is None else {"model": model}),
    )
    nwbfile.add_device(device)
    return device


def _fiber_model(nwbfile: NWBFile, implant: dict[str, Any] | None) -> Any:
    """The model of a fiber whose numerical aperture is known; one for all that are alike."""
    from ndx_ophys_devices import OpticalFiberModel

    aperture = _number(implant, "numerical_aperture")
    if aperture is None:
        return None
    diameter = _number(implant, "fiber_diameter_um")
    name = f"optical_fiber_NA{aperture:g}" + ("" if diameter is None else f"_{diameter:g}um")
    if name in nwbfile.device_models:
        return nwbfile.device_models[name]
    model = OpticalFiberModel(
        name=name,
        manufacturer="not recorded",
        description="Optical fiber, from the fiber table.",
        numerical_aperture=aperture,
        **({} if diameter is None else {"core_diameter_in_um": diameter}),
    )
    nwbfile.add_device_model(model)
    return model


def _number(implant: dict[str, Any] | None, name: str) -> float | None:
    text = None if implant is None else implant.get(name)
    try:
        return None if text is None else float(text)
    except ValueError:  # these columns are free text
        return None
