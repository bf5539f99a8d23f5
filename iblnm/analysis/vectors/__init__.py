"""One vector of mean responses per recording."""

from iblnm.analysis.declaration import Analysis, Figure
from iblnm.analysis.vectors.compute import response_matrix
from iblnm.analysis.vectors.tables import TABLES

ANALYSIS = Analysis(
    name="response_matrix",
    compute=response_matrix,
    folder="responses",
    tables=TABLES,
    figures=(Figure("response_vectors", "figures:response_vectors_figure", ("response_matrix",)),),
)
