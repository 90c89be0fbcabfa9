"""`python3 -m shortlinks --port 8000`."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from pathlib import Path

from shortlinks.api import Api
from shortlinks.server import make_server
from shortlinks.store import Store

log = logging.getLogger("shortlinks")
TEAM_LINKS = Path(__file__).parents[1] / "links.json"


def main() -> None:
    """Serve until told to stop."""
    options = argparse.ArgumentParser(prog="shortlinks", description=__doc__)
    options.add_argument("--port", type=int, default=8000)
    options.add_argument(
        "--links", type=Path, default=TEAM_LINKS, help="JSON object of code to URL, kept from the start"
    )
    given = options.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    store = Store()
    for code, url in json.loads(given.links.read_text()).items():
        store.add(url, code)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with make_server(Api(store), given.port) as server:
        log.info("serving %d links on port %d", len(store.links()), server.server_port)
        server.serve_forever()


if __name__ == "__main__":
    main()
