"""Photometry of each session: reference, quality, preprocessed signal, responses."""

import pandas as pd
from dagster import AssetExecutionContext, ResourceParam

from iblnm.config import Settings
from iblnm.schemas import PHOTOMETRY_REFERENCE
from iblnm_dagster.assets._session_asset import session_asset
from iblnm_dagster.resources import Archive


@session_asset(
    group="photometry",
    io_manager_key="session_parquet",
    metadata={"folder": "data/photometry"},
    table=PHOTOMETRY_REFERENCE,
    network=True,
    kinds=("parquet",),
)
def photometry(
    context: AssetExecutionContext,
    session: pd.DataFrame,
    archive: ResourceParam[Archive],
    settings: ResourceParam[Settings],
):
    """Verified reference to the signal: files, hashes, rates, bands, regions, time windows."""
    from iblnm.data.stages import photometry_reference

    return photometry_reference(archive.one, session.iloc[0], settings)


@session_asset(
    group="photometry",
    io_manager_key="session_h5",
    metadata={"folder": "data/sessions", "h5_group": "photometry/qc"},
    guards=("photometry",),
    kinds=("hdf5",),
)
def photometry_qc(
    context: AssetExecutionContext, photometry: pd.DataFrame, settings: ResourceParam[Settings]
):
    """Quality metrics of every region and band."""
    from iblnm.data.stages import photometry_quality

    return photometry_quality(photometry, settings)


@session_asset(
    group="photometry",
    io_manager_key="session_h5",
    metadata={"folder": "data/sessions", "h5_group": "photometry/preprocessed"},
    guards=("photometry", "photometry_qc"),
    kinds=("hdf5",),
)
def preprocessed(
    context: AssetExecutionContext,
    photometry: pd.DataFrame,
    photometry_qc: pd.DataFrame,
    settings: ResourceParam[Settings],
):
    """Bleach- and isosbestic-corrected signal at 30 Hz: z-scored, and dF/F."""
    from iblnm.data.stages import preprocessed_signal

    return preprocessed_signal(photometry, settings)


@session_asset(
    group="photometry",
    io_manager_key="session_h5",
    metadata={"folder": "data/sessions", "h5_group": "photometry/responses"},
    guards=("photometry", "photometry_qc", "trials"),
    kinds=("hdf5",),
)
def responses(
    context: AssetExecutionContext,
    preprocessed: dict,
    trials: pd.DataFrame,
    settings: ResourceParam[Settings],
):
    """Peri-event responses (event × trial × time) of every fibre."""
    from iblnm.data.stages import peri_event_responses

    return peri_event_responses(preprocessed, trials, settings)


ASSETS = [photometry, photometry_qc, preprocessed, responses]
