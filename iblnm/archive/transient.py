"""Which errors may pass by themselves."""

from __future__ import annotations

import json

from iblnm.errors import TransientError

PERMANENT_STATUS = frozenset({400, 401, 403, 404})


def is_transient(error: BaseException) -> bool:
    """Whether an error of network or server is worth a retry.

    Transient: time-outs, refused or reset connections, unreachable hosts, server errors and
    rate limits (HTTP 429 and 5xx), an answer that is no JSON. Permanent: HTTP 400, 401, 403
    and 404, an address that is none, everything about files, and every programming error.
    `iblnm.archive.rest` has types for these; the others come from a client of the user's own.
    """
    from urllib.error import HTTPError, URLError

    from requests.exceptions import HTTPError as RequestsHTTPError
    from requests.exceptions import RequestException

    if isinstance(error, RecursionError):  # JSON of a broken answer, nested without end
        return True
    if isinstance(error, TransientError | ConnectionError | TimeoutError | json.JSONDecodeError):
        return True
    if isinstance(error, HTTPError):
        return error.code not in PERMANENT_STATUS
    if isinstance(error, RequestsHTTPError):
        status = getattr(error.response, "status_code", None)
        return status not in PERMANENT_STATUS
    # an address that is none is a ValueError too
    return isinstance(error, URLError | RequestException) and not isinstance(error, ValueError)
