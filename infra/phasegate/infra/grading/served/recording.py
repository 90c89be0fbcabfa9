"""Recording of the requests that tests send, in one more run of the tests on the change.

Called by `served_check`. What the tests' processes write is untrusted: it only tells what is asked, and a wrong record
can but hide what the change's own tests send. It must not know what is compared.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from phasegate.infra.grading.served.exchanges import RecordedExchanges

_SCRIPTS = Path(__file__).parent / "scripts"
_LARGEST = 64 * 1024 * 1024
_STARTER = """\
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import record_exchanges

sys.path.pop(0)
record_exchanges.main(os.path.dirname(os.path.abspath(__file__)))
"""


@dataclass
class Recording:
    """Probe of a run that writes down requests and answers."""

    tests: Sequence[str]
    """Paths of test files."""
    services: Sequence[str] = ()
    """Variables that hold addresses of services beside the tests, which are not asked again."""
    found: RecordedExchanges = field(default_factory=RecordedExchanges)

    def prepare(self, folder: Path, inside: Path) -> dict[str, str]:
        """As the port says."""
        place = folder / "recorder"
        place.mkdir()
        order = {"root": str(inside), "tests": list(self.tests), "services": list(self.services)}
        (place / "recorder.json").write_text(json.dumps(order))
        (place / "record_exchanges.py").write_text((_SCRIPTS / "record.py").read_text())
        (place / "sitecustomize.py").write_text(_STARTER)
        (place / "record.cjs").write_text((_SCRIPTS / "record.cjs").read_text())
        return {"PYTHONPATH": str(place), "NODE_OPTIONS": f"--require={place / 'record.cjs'}"}

    def read(self, folder: Path, checkout: Path, inside: Path) -> None:
        """As the port says."""
        for file in sorted((folder / "recorder").glob("exchanges-*.jsonl")):
            for line in _lines(file):
                self.found.add(line, file.stem)


def _lines(file: Path) -> Sequence[str]:
    if file.is_symlink() or not file.is_file() or file.stat().st_size > _LARGEST:
        return ()
    return file.read_text(errors="replace").splitlines()
