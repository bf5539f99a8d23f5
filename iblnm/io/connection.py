"""The connection, at the place where programs of users import it from."""

from iblnm.archive.connection import _get_default_connection, connect

__all__ = ["_get_default_connection", "connect"]
