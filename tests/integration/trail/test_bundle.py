"""P13: a run's trail leaves the machine in one file, and git notices what a ledger forgot."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from tests.ledgers import Thing, accepted

from phasegate.flows.runs.audit_bundle import (
    audit_bundle,
    audit_run,
    export_bundle,
    publish_run_head,
    release_statement,
)
from phasegate.infra.artifacts import Artifact, canonical_json
from phasegate.infra.errors import PhasegateError, TrailBroken, UsageError
from phasegate.infra.identity import Person
from phasegate.infra.identity.attestation import IN_TOTO, AttestationKey, decoded, encoded, verified
from phasegate.infra.ledger import Ledger
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.trail_rows import ExportedRows

RUN, COMMIT = "run-one", "c" * 40


class Shipped(Artifact):
    kind: ClassVar[str] = "release"
    service: str
    commit: str


@dataclass
class BundleHarness:
    """A ledger with one released run, and the repository it is about."""

    ledger: Ledger
    database: Path
    repository: Path
    key: AttestationKey

    @property
    def run(self):
        return self.ledger.runs.get(RUN)

    def bundle(self) -> bytes:
        return export_bundle(self.ledger, self.run, self.key)

    def copy(self, name: str) -> Path:
        """The database as it is now."""
        self.ledger.close()
        target = self.database.with_name(name)
        with sqlite3.connect(self.database) as source, sqlite3.connect(target) as copied:
            source.backup(copied)
        return target

    def put_back(self, copy: Path) -> None:
        self.ledger.close()
        for path in self.database.parent.glob("ledger.db*"):
            path.unlink()
        shutil.copy(copy, self.database)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[BundleHarness]:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "-b", "main", repository], check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "first"], cwd=repository, check=True)
    database = tmp_path / "ledger.db"
    ledger = Ledger.open(f"sqlite:///{database}")
    run = accepted(ledger, RUN, ticket=Thing(name="é ticket"), repository=str(repository))
    gate = ledger.gates.open(
        run,
        "prd",
        1,
        subject={"prd": "sha256:1"},
    )
    ledger.gates.decide(gate.id, "approve", Person("bo", "local"))
    effect = ledger.effects.intend(RUN, "cut-over", f"{RUN}/cut-over", intent={}, compensation="stop it")
    ledger.effects.done(effect, {"url": "http://127.0.0.1:1"})
    attempt, lease = ledger.attempts.begin(
        RUN, "deployment", "release", 1, inputs={}, model="", prompt="", holder="here/1"
    )
    assert lease is not None
    ledger.attempts.finish(attempt, lease, Shipped(service="shop", commit=COMMIT))
    made = BundleHarness(ledger, database, repository, AttestationKey.open(tmp_path / "key"))
    publish_run_head(ledger, made.run)
    yield made
    ledger.close()


def test_a_bundle_is_audited_as_the_ledger_is(scene: BundleHarness) -> None:
    here, there = audit_run(scene.ledger, scene.run), audit_bundle(scene.bundle())
    assert there.trail == here.trail
    assert (there.heads, there.heads_missing, there.release) == (1, "", COMMIT)


def test_the_statement_about_the_release_is_in_toto_and_says_who_approved(scene: BundleHarness) -> None:
    outside = json.loads(scene.bundle())
    content = json.loads(decoded(outside["envelope"]["payload"]))
    stated = json.loads(verified(content["release"], scene.key.public, IN_TOTO))
    assert stated["_type"] == "https://in-toto.io/Statement/v1"
    assert stated["subject"] == [{"name": "shop", "digest": {"gitCommit": COMMIT}}]
    (gate,) = stated["predicate"]["gates"]
    assert (gate["gate"], gate["decisions"][0]["approver"]) == ("prd", "bo")
    assert stated["predicate"]["digests"]["release"] == Shipped(service="shop", commit=COMMIT).digest
    assert stated["predicate"]["chain"]["hash"] == scene.ledger.events(RUN)[-1].hash


def test_no_byte_of_a_bundle_can_be_changed(scene: BundleHarness) -> None:
    """Every byte outside of the payload and every 97th inside, each with one bit turned, and each left out.

    Mutations tried, each: not comparing the spelling, not verifying. Base64 that is spelled otherwise is in the
    former; `test_attestation` holds it alone.
    """
    bundle = scene.bundle()
    start = bundle.index(b'"payload":"') + len(b'"payload":"')
    end = bundle.index(b'"', start)
    places = [*range(start), *range(start, end, 97), *range(end - 4, len(bundle))]
    unnoticed = [
        place
        for place in places
        for changed in (
            bundle[:place] + bytes([bundle[place] ^ 1]) + bundle[place + 1 :],
            bundle[:place] + bundle[place + 1 :],
        )
        if not _is_refused(changed)
    ]
    assert unnoticed == []


def test_what_was_signed_again_by_another_key_is_noticed_by_who_knows_the_key(
    scene: BundleHarness, tmp_path: Path
) -> None:
    mine = audit_bundle(scene.bundle()).key
    stranger = AttestationKey.open(tmp_path / "stranger")
    forged = export_bundle(scene.ledger, scene.run, stranger)
    assert audit_bundle(scene.bundle(), expected_key=mine).key == mine
    with pytest.raises(TrailBroken, match="is signed by"):
        audit_bundle(forged, expected_key=mine)


def test_rows_that_do_not_hold_are_noticed_though_they_are_signed(scene: BundleHarness) -> None:
    """Untried mutation: leaving `audit_rows` out for bundles."""
    content = json.loads(decoded(json.loads(scene.bundle())["envelope"]["payload"]))
    content["rows"]["decisions"][0]["approver"] = "eve"
    with pytest.raises(TrailBroken, match="decisions/"):
        audit_bundle(_signed(scene, content))


def test_a_statement_that_says_something_else_than_the_rows_is_noticed(scene: BundleHarness) -> None:
    """Mutation tried: trusting a statement because its signature holds."""
    content = json.loads(decoded(json.loads(scene.bundle())["envelope"]["payload"]))
    stated = release_statement(ExportedRows(content["rows"]), RUN)
    assert stated is not None
    stated["subject"][0]["digest"]["gitCommit"] = "d" * 40
    content["release"] = scene.key.sign(IN_TOTO, canonical_json(stated).encode())
    with pytest.raises(TrailBroken, match="does not say what the rows say"):
        audit_bundle(_signed(scene, content))
    with pytest.raises(TrailBroken, match="whether there is a release"):
        audit_bundle(_signed(scene, {**content, "release": None}))


def test_a_ledger_that_was_put_back_to_an_earlier_state_is_noticed(scene: BundleHarness) -> None:
    """The newest events and the rows they touched are gone together: the chain alone holds.

    Mutation tried: not comparing with the heads in git.
    """
    earlier = scene.copy("earlier.db")
    scene.ledger.runs.set_status(RUN, "done")
    publish_run_head(scene.ledger, scene.run)
    audit_run(scene.ledger, scene.run)
    scene.put_back(earlier)
    assert scene.ledger.audit(RUN).events > 0
    with pytest.raises(TrailBroken, match="it was cut off"):
        audit_run(scene.ledger, scene.run)
    scene.ledger.runs.set_status(RUN, "failed")
    with pytest.raises(TrailBroken, match="was put back and went on"):
        audit_run(scene.ledger, scene.run)
    with pytest.raises(TrailBroken, match="was put back and went on"):
        audit_bundle(scene.bundle())


def test_a_repository_that_is_gone_is_said_and_breaks_nothing(scene: BundleHarness) -> None:
    shutil.rmtree(scene.repository)
    publish_run_head(scene.ledger, scene.run)
    checked = audit_run(scene.ledger, scene.run)
    assert (checked.heads, "there is no folder" in checked.heads_missing) == (0, True)
    assert "there is no folder" in audit_bundle(scene.bundle()).heads_missing


def test_heads_only_grow_and_are_not_repeated(scene: BundleHarness) -> None:
    publish_run_head(scene.ledger, scene.run)
    scene.ledger.note(RUN, EventKind.STAGE_STEP, payload={"stage": "prd", "text": "on"})
    publish_run_head(scene.ledger, scene.run)
    assert audit_run(scene.ledger, scene.run).heads == 2


def _signed(scene: BundleHarness, content: dict[str, object]) -> bytes:
    envelope = scene.key.sign("application/vnd.phasegate.bundle+json", canonical_json(content).encode())
    outside = {"format": "phasegate-bundle/1", "key": encoded(scene.key.public), "envelope": envelope}
    return f"{canonical_json(outside)}\n".encode()


def _is_refused(bundle: bytes) -> bool:
    try:
        audit_bundle(bundle)
    except (TrailBroken, UsageError):
        return True
    except PhasegateError:
        return False
    return False
