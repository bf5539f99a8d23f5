"""Whether the targets respond differently: similarity, decoding, analysis of variance."""

import pandas as pd
from dagster import ResourceParam

from iblnm.config import Settings
from iblnm.schemas.discrimination import DECODING_PREDICTIONS, RESPONSE_ANOVA, SIMILARITY_PAIRS
from iblnm_dagster.assets.cohort._cohort_asset import cohort_asset


@cohort_asset(file="responses/similarity_pairs.pqt", table=SIMILARITY_PAIRS)
def response_similarity(response_matrix: pd.DataFrame, settings: ResourceParam[Settings]):
    """Cosine similarity of the response vectors, within and between targets.

    Pairs of recordings of the same animal are kept apart.
    """
    from iblnm.data.cohort.discrimination import response_similarity

    return response_similarity(response_matrix, settings)


@cohort_asset(file="responses/decoding_predictions.pqt", table=DECODING_PREDICTIONS)
def target_decoding(response_matrix: pd.DataFrame, settings: ResourceParam[Settings]):
    """Target of a left-out animal's recordings, decoded from their response vectors.

    Accuracy with intervals over animals, permutation null, coefficients, contributions.
    """
    from iblnm.data.cohort.discrimination import target_decoding

    return target_decoding(response_matrix, settings)


@cohort_asset(file="responses/response_anova.pqt", table=RESPONSE_ANOVA)
def response_anova(response_magnitudes: pd.DataFrame, settings: ResourceParam[Settings]):
    """Repeated-measures analysis of variance of contrast, side and outcome per target."""
    from iblnm.data.cohort.discrimination import response_anova

    return response_anova(response_magnitudes, settings)


ASSETS = [response_similarity, target_decoding, response_anova]
