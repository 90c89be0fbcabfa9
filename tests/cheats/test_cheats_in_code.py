"""Every cheat of `in_code.py` ends as it says.

Mutations tried, one at a time: `about_added_lines` without the findings `test-runner-sniffed` ("asks pytest's variable"
fails then), `environment-sniffed` ("works under CI only"), `process-ended` ("ends the process"),
`clock-or-chance-pinned` ("pins the clock"), `checks-silenced` ("keeps code out of the coverage count"), `tests-read`
("has the tests' answers at hand"), `report-touched` ("has the report at hand"), `interpreter-steered` ("can plant code
for the interpreter"); without `errors-swallowed`, `always-equal`, `compiled-code`, `module-hidden` and
`sealed-case-hard-coded`, each its own row; `canaries` and `counter-tests` that nothing is ever said to have passed.
"""

from __future__ import annotations

import pytest
from tests.cheats.ground import Ground, Row, check
from tests.cheats.in_code import ANSWERS, REPORTS


@pytest.mark.parametrize("row", [*REPORTS, *ANSWERS], ids=lambda row: row.name)
def test_a_cheat_is_caught(ground: Ground, row: Row) -> None:
    check(ground, row)
