"""Schema of a table whose number of columns depends on the data."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from iblnm.errors import MalformedFileError
from iblnm.schemas.core import Column, Table


@dataclass(frozen=True)
class WideTable:
    """Schema of a table with one column per condition, whose number depends on the data.

    Parameters
    ----------
    name, description : str
    identity : Table
        The leading columns; its key identifies a row.
    pattern : str
        Regular expression that the name of every further column matches in full; these
        columns are float64.
    text : str
        What a further column holds.
    """

    name: str
    description: str
    identity: Table
    pattern: str
    text: str

    def features(self, df: pd.DataFrame) -> list[str]:
        """Names of the columns of conditions, in the order of the table."""
        return [str(name) for name in df.columns if name not in self.identity.names]

    def conform(self, df: pd.DataFrame) -> pd.DataFrame:
        """Bring a frame to the leading columns and float64 conditions; a range index.

        Raises
        ------
        MalformedFileError
            If a further column's name is no condition, or a value is not numeric.
        """
        names = self.features(df)
        odd = [name for name in names if not re.fullmatch(self.pattern, name)]
        if odd:
            raise MalformedFileError(
                f"table {self.name}: columns {', '.join(odd[:5])} are no conditions; names as "
                f"{self.pattern} are expected"
            )
        try:
            values = df[names].astype("float64").reset_index(drop=True)
        except (TypeError, ValueError) as error:
            raise MalformedFileError(f"table {self.name}: {error}") from error
        return pd.concat([self.identity.conform(df), values], axis=1)

    def validate(self, df: pd.DataFrame) -> pd.DataFrame:
        """Conform a frame and hold its leading columns to their schema.

        Raises
        ------
        MalformedFileError
            Naming table, column, value and limit.
        """
        conformed = self.conform(df)
        self.identity.validate(conformed[self.identity.names])
        return conformed

    def restore(self, df: pd.DataFrame) -> pd.DataFrame:
        """Types and index of a frame that was read from a file."""
        return self.conform(df)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The leading columns."""
        return self.identity.columns

    def empty(self) -> pd.DataFrame:
        """The table without rows and without conditions."""
        return self.identity.empty()
