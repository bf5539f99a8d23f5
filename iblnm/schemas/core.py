"""What a schema is: columns with name, type, unit, description, nullable and range.

A `Table` is the single definition: it gives the pandera schema that files are held to, the
column schema and the dagster-pandas type that the web page shows, and the documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.errors import MalformedFileError

if TYPE_CHECKING:
    import pandera.pandas as pa

LIST = "list"
_PANDAS_TYPES = {
    "str": "string",
    "int": "Int64",
    "float": "float64",
    "bool": "boolean",
    LIST: "object",
}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
    dtype : {'str', 'int', 'float', 'bool', 'list'}
        ``list`` is a parquet list; missing text is null, never ``''`` or ``'nan'``.
    description : str
    unit : str
        Empty for a pure number or a text.
    nullable : bool
    ge, le : float, optional
        Smallest and largest value allowed.
    isin : tuple of str, optional
        Values allowed.
    """

    name: str
    dtype: str
    description: str
    unit: str = ""
    nullable: bool = True
    ge: float | None = None
    le: float | None = None
    isin: tuple[str, ...] | None = None

    @property
    def pandas_dtype(self) -> str:
        return _PANDAS_TYPES[self.dtype]

    @property
    def text(self) -> str:
        return f"{self.description} [{self.unit}]" if self.unit else self.description


@dataclass(frozen=True)
class Table:
    """Schema of one table; extra columns are refused.

    Parameters
    ----------
    name : str
    description : str
    declared : tuple of Column, or a function that returns it
        A function where the columns follow from other declarations.
    key : tuple of str
        Columns that identify a row.
    """

    name: str
    description: str
    declared: tuple[Column, ...] | Callable[[], tuple[Column, ...]]
    key: tuple[str, ...] = ("eid",)

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.declared() if callable(self.declared) else self.declared

    @property
    def pandera(self) -> pa.DataFrameSchema:
        """The pandera schema of the table."""
        return _pandera(self.name, self.description, self.columns, self.key)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def conform(self, df: pd.DataFrame) -> pd.DataFrame:
        """Bring a frame to the table's columns, order and types; absent columns become null.

        Parameters
        ----------
        df : DataFrame
            Columns that the table does not know are dropped.

        Returns
        -------
        DataFrame
            New frame with a range index.

        Raises
        ------
        MalformedFileError
            If a value cannot take the column's type.
        """
        data: dict[str, Any] = {}
        for column in self.columns:
            values = df[column.name] if column.name in df else pd.Series(None, index=df.index)
            try:
                data[column.name] = _cast(values, column).reset_index(drop=True)
            except (TypeError, ValueError) as error:
                raise MalformedFileError(
                    f"table {self.name}, column {column.name}: {error}; "
                    f"values of type {column.dtype} are expected"
                ) from error
        return pd.DataFrame(data, columns=self.names)

    def validate(self, df: pd.DataFrame) -> pd.DataFrame:
        """Conform a frame and hold it to the pandera schema.

        Raises
        ------
        MalformedFileError
            Naming table, column, value and limit.
        """
        import pandera.errors

        conformed = self.conform(df)
        try:
            return self.pandera.validate(conformed, lazy=True)
        except pandera.errors.SchemaErrors as error:
            cases = error.failure_cases.head(5)
            found = "; ".join(
                f"{case.column}: {case.check}, found {case.failure_case!r}"
                for case in cases.itertuples()
            )
            raise MalformedFileError(f"table {self.name}: {found}") from error

    def restore(self, df: pd.DataFrame) -> pd.DataFrame:
        """A frame as read back from the table's file, which was validated when written.

        Raises
        ------
        MalformedFileError
            If the file lacks a column that cannot be null. Of an earlier version's file the
            other columns that it lacks are null, and those unknown by now are left out.
        """
        if list(df.columns) != self.names:
            lacking = [c.name for c in self.columns if c.name not in df and not c.nullable]
            if lacking:
                raise MalformedFileError(
                    f"table {self.name}: its columns differ from the schema, "
                    f"{', '.join(lacking)} is not there; was it made by another version? "
                    "Materialize it again"
                )
            return self.conform(df)
        for column in self.columns:
            if column.dtype == LIST:
                df[column.name] = pd.Series([_as_list(v) for v in df[column.name]], dtype=object)
            elif df[column.name].dtype != column.pandas_dtype:
                df[column.name] = _cast(df[column.name], column)
        return df

    def empty(self) -> pd.DataFrame:
        """The table without rows."""
        return self.conform(pd.DataFrame(columns=self.names))


@cache
def _pandera(
    name: str, description: str, columns: tuple[Column, ...], key: tuple[str, ...]
) -> pa.DataFrameSchema:
    import pandera.pandas as pa

    def checks(column: Column) -> list[pa.Check]:
        found = []
        if column.ge is not None:
            found.append(pa.Check.ge(column.ge))
        if column.le is not None:
            found.append(pa.Check.le(column.le))
        if column.isin is not None:
            found.append(pa.Check.isin(column.isin))
        return found

    return pa.DataFrameSchema(
        {
            column.name: pa.Column(
                None if column.dtype == LIST else column.pandas_dtype,
                checks(column),
                nullable=column.nullable,
                description=column.text,
            )
            for column in columns
        },
        name=name,
        strict=True,
        unique=list(key),
        description=description,
    )


def _cast(values: pd.Series, column: Column) -> pd.Series:
    if column.dtype == LIST:
        return pd.Series([_as_list(value) for value in values], index=values.index, dtype=object)
    if column.dtype == "str":
        return _as_text(values)
    if column.dtype in ("int", "bool"):
        return pd.to_numeric(values).astype(column.pandas_dtype)
    return pd.to_numeric(values).astype("float64")


def _as_text(values: pd.Series) -> pd.Series:
    nulls = {"": pd.NA, "nan": pd.NA, "None": pd.NA}
    if values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) == "string":
        # long tables repeat few texts: each of them is looked at once
        codes, texts = pd.factorize(values)
        texts = pd.Series(texts).astype("string").replace(nulls)
        return pd.Series(texts.array.take(codes, allow_fill=True), index=values.index)
    return values.astype("string").replace(nulls)


def _as_list(value: Any) -> list | None:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    return list(value)
