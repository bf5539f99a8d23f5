"""The viewer as a process of its own: ``python -m iblnm.viewer``.

It imports neither Dagster nor pandas, so that it takes little memory beside the page.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys


def main() -> None:
    """Serve sessions on 127.0.0.1 until interrupted."""
    # pyarrow chooses when it is imported; its own pools keep what is freed
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # every thread of linear algebra has its buffers, and nothing here needs them
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from iblnm.config import get_settings
    from iblnm.viewer.server import port_of, serve

    parser = argparse.ArgumentParser(prog="python -m iblnm.viewer", description=main.__doc__)
    parser.add_argument("-p", "--port", type=int, help="default: that of IBLNM_VIEWER_URL, 3001")
    parser.add_argument("--with-parent", action="store_true", help="end with the starting process")
    arguments = parser.parse_args()
    # uvicorn sends the signal again when it is done; what was started is then ended in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    settings = get_settings()
    port = port_of(settings.viewer_url) if arguments.port is None else arguments.port
    serve(settings, port=port, with_parent=arguments.with_parent)


if __name__ == "__main__":
    main()
