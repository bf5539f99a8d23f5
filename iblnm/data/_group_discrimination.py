"""A group's similarity, decoding, and analysis of variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pandas as pd


class Discrimination:
    """Methods of a group; results are None until a method fills them.

    Attributes
    ----------
    similarity_matrix : DataFrame
        See `response_similarity_matrix`.
    decoder : iblnm.analysis.TargetNMDecoder
        See `decode_target`.
    anova_results : DataFrame
        See `anova_response_magnitudes`.
    """

    LAZY: ClassVar[tuple[str, ...]] = ("similarity_matrix", "decoder", "anova_results")

    settings: Any
    recordings: pd.DataFrame

    def response_similarity_matrix(self) -> pd.DataFrame:
        """Cosine similarity of the response vectors of every two recordings.

        Returns
        -------
        DataFrame
            Index and columns (eid, target_NM, fiber_idx); also in ``similarity_matrix``. The
            features are made with their defaults if they are not there.
        """
        from iblnm.analysis.similarity.cosine import cosine_similarity_matrix

        self.similarity_matrix = cosine_similarity_matrix(self._features())
        return self.similarity_matrix

    def decode_target(
        self,
        normalize: bool = True,
        C: float | None = None,
        Cs: Sequence[float] | None = None,
        *,
        contributions: bool = True,
    ) -> Any:
        """Decode the target of every recording from animals that the decoder has not seen.

        Parameters
        ----------
        normalize, C, Cs
            See `iblnm.analysis.decode_target_nm`.
        contributions : bool
            Whether the contribution of each feature is computed too.

        Returns
        -------
        TargetNMDecoder
            Fitted; also in ``decoder``.
        """
        from iblnm.analysis.decoding.decoder import TargetNMDecoder

        features = self._features()
        features = features[features.notna().all(axis=1)]
        labels = features.index.get_level_values("target_NM")
        self.decoder = TargetNMDecoder(features, labels, self._subjects(features), normalize)
        self.decoder.fit(C=C, Cs=Cs)
        if contributions:
            self.decoder.unique_contribution()
        return self.decoder

    def anova_response_magnitudes(
        self,
        response_col: str = "response_early",
        min_subjects: int | None = None,
        min_trials: int | None = None,
    ) -> pd.DataFrame:
        """Repeated-measures ANOVA per target and event.

        Parameters
        ----------
        response_col, min_subjects, min_trials
            See `iblnm.analysis.anova.compute.response_anova`.

        Returns
        -------
        DataFrame
            Schema `iblnm.analysis.anova.tables.RESPONSE_ANOVA`; also in ``anova_results``.
        """
        from iblnm.analysis.anova.compute import response_anova

        result = response_anova(
            self._magnitudes(),
            self.settings,
            response_col=response_col,
            min_subjects=min_subjects,
            min_trials=min_trials,
        )
        self.anova_results = result.tables["response_anova"]
        return self.anova_results

    def _features(self) -> pd.DataFrame:
        if self.response_features is None:
            self.get_response_features()
        return self.response_features

    def _subjects(self, features: pd.DataFrame) -> list[str]:
        subject = dict(zip(self.recordings["eid"], self.recordings["subject"], strict=True))
        return [subject[eid] for eid in features.index.get_level_values("eid")]
