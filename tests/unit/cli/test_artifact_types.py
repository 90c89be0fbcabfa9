"""Artifact types: each place in the tables names a class that is there."""

from __future__ import annotations

import pytest

from phasegate.flows.views.artifact_types import ARTIFACTS, DOCUMENTS, OUTPUTS, load


@pytest.mark.parametrize("place", [*ARTIFACTS.values(), *DOCUMENTS.values(), *OUTPUTS.values()])
def test_each_type_is_where_the_table_says(place: str) -> None:
    """Mutation seen: a class was no longer exported by its package, and `show` failed."""
    assert load(place).__name__ == place.partition(":")[2]
