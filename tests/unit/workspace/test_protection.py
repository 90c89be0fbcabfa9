from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.workspace import ChangeSet, FileChange, matches
from phasegate.infra.workspace.protection import leads_to


@dataclass
class Case:
    pattern: str
    path: str
    expected: bool


@pytest.mark.parametrize(
    "case",
    [
        Case("phasegate.toml", "phasegate.toml", True),
        Case("phasegate.toml", "sub/phasegate.toml", False),
        Case("phasegate.toml", "phasegateXtoml", False),
        Case("tests/**", "tests/a/b.py", True),
        Case("tests/**", "tests", False),
        Case("tests", "tests/a.py", True),
        Case("tests/", "tests/a.py", True),
        Case("./tests", "tests/a.py", True),
        Case("tests", "tests_more/a.py", False),
        Case("**/conftest.py", "conftest.py", True),
        Case("**/conftest.py", "a/b/conftest.py", True),
        Case("*.lock", "uv.lock", True),
        Case("*.lock", "sub/uv.lock", False),
        Case("src/*/gen.py", "src/a/gen.py", True),
        Case("src/*/gen.py", "src/a/b/gen.py", False),
        Case("v?.txt", "v1.txt", True),
        Case("v[!0].txt", "v0.txt", False),
        Case("v[!0].txt", "v1.txt", True),
        Case("**", "anything/at all\nreally", True),
        Case("a[b", "a[b", True),
        # read otherwise by .gitignore
        Case("tests", "sub/tests/a.py", False),
        Case("tests/", "tests", True),
        Case("src/**.py", "src/a/b.py", True),
        Case("db**/x.sql", "db1/old/x.sql", True),
        Case("!keep", "!keep", True),
        Case("#keep", "#keep", True),
        Case("a\\b", "a\\b", True),
        Case("a ", "a ", True),
    ],
    ids=lambda case: f"{case.pattern} {case.path!r}",
)
def test_patterns(case: Case) -> None:
    assert case.expected == matches([case.pattern], case.path)


def test_a_change_s_page_survives_hostile_names() -> None:
    change = ChangeSet(
        base_commit="0" * 40,
        commit="1" * 40,
        tree="2" * 40,
        branch="phasegate/r1",
        summary="Do it",
        files=(FileChange(path="a`|\\n<b>", status="added", added=None, removed=None),),
        refused=("x`y",),
        diff_digest="sha256:0",
    )
    row = next(line for line in change.markdown().splitlines() if line.startswith("| `a"))
    assert row.count("|") == 4
    assert row.count("`") == 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("phasegate.toml", True),
        (".github/allowed_signers", True),
        (".github", True),
        (".github/allowed_signers/x", False),
        ("phasegate.toml.md", False),
        ("docs/phasegate.toml", False),
        (".git", False),
    ],
)
def test_a_path_leads_to_a_file_if_it_is_one_or_a_folder_above(path: str, expected: bool) -> None:
    """Mutation tried: equality alone; a link in the place of the folder then leads to other signers."""
    assert leads_to(path, ["phasegate.toml", "./.github/allowed_signers"]) is expected
