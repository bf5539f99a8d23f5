"""The columns of a table as the page shows them."""

from __future__ import annotations

from dagster import TableColumn, TableColumnConstraints, TableSchema

from iblnm.schemas import Table


def column_schema(table: Table) -> TableSchema:
    """The table's schema as the page shows it."""
    return TableSchema(
        columns=[
            TableColumn(
                column.name,
                column.dtype,
                column.text,
                TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )
