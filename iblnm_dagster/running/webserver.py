"""Dagster's web page behind a guard: ``python -m iblnm_dagster.running.webserver``.

The page that `dagster dev` serves does what any page of the web asks of it: a mutation in the
address of an image, a form, or a page that gives itself the name 127.0.0.1.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from starlette.applications import Starlette

from iblnm.config import Settings, get_settings
from iblnm.viewer.security import ISOLATION, Guard, Rules, named_hosts

RULES = Rules(
    headers={
        **ISOLATION,
        "x-frame-options": "DENY",
        "content-security-policy": "frame-ancestors 'none'",
    },
    posted_only=("/graphql",),
)


def guarded(app: Starlette, settings: Settings) -> Starlette:
    """The application with the guard before everything else.

    Parameters
    ----------
    app : Starlette
        Changed in place.
    settings : Settings
        The page may be asked under the names of this machine and those of ``dagster_url`` and
        ``viewer_url``.
    """
    hosts = named_hosts(settings.dagster_url, settings.viewer_url)
    app.add_middleware(Guard, hosts=hosts, rules=RULES)
    return app


def main() -> None:
    """Serve the page; the arguments are those of ``dagster-webserver``."""
    from dagster_webserver import cli

    make = cli.create_app_from_workspace_process_context

    @wraps(make)
    def make_guarded(*args: Any, **options: Any) -> Starlette:
        return guarded(make(*args, **options), get_settings())

    cli.create_app_from_workspace_process_context = make_guarded
    cli.main()


if __name__ == "__main__":
    main()
