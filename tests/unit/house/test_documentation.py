"""The documentation agrees with the program: commands, links from README, and the index of decisions.

Mutations tried: an option's help changed; a link to a page that is not there; a decision left out of the index.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from tests.support import command_reference, event_reference, policy_reference, provider_error_reference

TOP = Path(__file__).parents[3]
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)\s]*)?\)")
PAGES = (*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("*/README.md"))
LONGEST_README = 120


REFERENCES = (command_reference, event_reference, policy_reference, provider_error_reference)


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda module: module.__name__)
def test_a_generated_page_is_what_the_program_says(reference: ModuleType) -> None:
    assert reference.PAGE.read_text() == reference.page(), f"run `python -m {reference.__name__}`"


def test_every_key_of_the_policy_has_a_meaning() -> None:
    """Mutation tried: the docstring of `project.setup` left out."""
    assert policy_reference.undescribed() == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(TOP).as_posix())
def test_links_of_pages_lead_to_files(path: Path) -> None:
    targets = LINK.findall(path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_the_index_names_every_decision() -> None:
    folder = TOP / "docs" / "decisions"
    named = set(LINK.findall((folder / "index.md").read_text()))
    assert named == {path.name for path in folder.glob("0*.md")}


def test_readme_stays_short() -> None:
    assert len((TOP / "README.md").read_text().splitlines()) <= LONGEST_README


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    settings = (TOP / "zensical.toml").read_text()
    pages = {path.relative_to(TOP / "docs").as_posix() for path in (TOP / "docs").glob("*.md")}
    assert {name for name in pages if f'"{name}"' not in settings} == set()
