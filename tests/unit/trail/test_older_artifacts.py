"""P8: what a version with fewer fields stored keeps its digest, by which gates, attempts and decisions name it."""

from __future__ import annotations

from typing import ClassVar

from phasegate.infra.artifacts import Artifact, sha256


class Note(Artifact):
    """As it is today: the colour came later."""

    kind: ClassVar[str] = "note"
    text: str
    colour: str = "white"


def test_an_artifact_of_fewer_fields_keeps_its_digest() -> None:
    """Mutation tried: `canonical` writing it again; a run that waited across an upgrade found no such artifact."""
    stored = '{"kind":"note","schema_version":1,"text":"a"}'
    read = Note.from_canonical(stored)
    assert (read.text, read.colour, read.digest) == ("a", "white", sha256(stored))
    assert Note.from_canonical(read.canonical()).digest == read.digest


def test_what_is_stored_today_is_what_was_made() -> None:
    made = Note(text="a", colour="red")
    assert Note.from_canonical(made.canonical()) == made
