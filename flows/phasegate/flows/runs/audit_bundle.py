"""Audit trail outside of the machine: heads in git, one signed file per run, and the same audit for file and ledger.

A bundle is one JSON document in its canonical spelling and a line end: `format`, `key` (the engine's public Ed25519
key, Base64) and `envelope`. The envelope is a DSSE envelope whose payload is the content. The content holds the rows of
every table as stored, of the run and of those it replays, and the heads of their chains in git. For a run that released
something it holds a second DSSE envelope with an in-toto Statement v1 about that release. Called by the doors and, for
the heads, by the lifecycle. Only verified bytes are read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.documents.json_text import read_stored_json
from phasegate.infra.errors import DocumentUnreadable, RepositoryError, TrailBroken, UsageError
from phasegate.infra.identity.attestation import IN_TOTO, STATEMENT, AttestationKey, decoded, encoded, key_id, verified
from phasegate.infra.ledger import Ledger, Run
from phasegate.infra.ledger.trail.audit import TrailAudit, audit_rows
from phasegate.infra.ledger.trail_rows import ExportedRows, Row, Rows, lineage
from phasegate.infra.workspace import Repository
from phasegate.infra.workspace.heads import publish_head, published_heads

FORMAT = "phasegate-bundle/1"
CONTENT = "application/vnd.phasegate.bundle+json"
PREDICATE = "urn:phasegate:predicate:release:v1"

_MATERIALS = {
    "ticket": "ticket",
    "prd": "prd",
    "sealed-tests": "sealedTests",
    "change-set": "change",
    "evidence": "evidence",
    "release-plan": "plan",
    "release": "release",
    "health-report": "healthReport",
}
"""Kind of artifact to its name in the predicate."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditReport:
    """Result of an audit that held.

    Attributes:
        trail: The chain and its rows.
        heads: The number of heads in git that were found in the chain.
        heads_missing: The reason why git's heads could not be compared; empty if they were.
        replayed: The earlier runs it replays, whose trails hold as well.
        key: The signer of the bundle, as the digest of a public key; empty in the database.
        release: The released commit that a signed statement is about; empty if there is none.
    """

    trail: TrailAudit
    heads: int
    heads_missing: str
    replayed: tuple[str, ...] = ()
    key: str = ""
    release: str = ""

    def document(self) -> dict[str, Any]:
        """As `--json` shows it."""
        ours = {name: value for name, value in vars(self).items() if name != "trail"}
        return {**vars(self.trail), **ours}


def publish_run_head(ledger: Ledger, run: Run, repository: Callable[[], Repository] | None = None) -> None:
    """Publish the head of a run's chain in git. A failure is only logged: no run fails for it.

    Args:
        ledger: The ledger with the chain.
        run: The run.
        repository: Gives the run's repository, if the caller has it open already.

    Effects: `refs/phasegate/<run>/head` grows by one commit, unless it names this head already.
    """
    newest = ledger.newest(run.id)
    try:
        opened = repository() if repository else Repository.open(Path(run.repository))
        publish_head(opened, run.id, newest.position, newest.hash)
    except RepositoryError as error:
        _log.warning("the head of %s is not kept in git: %s", run.id, error.message)


def require_published_chain(ledger: Ledger, run: Run, repository: Callable[[], Repository] | None = None) -> None:
    """Require that a run's chain is the one whose heads git has seen; where git cannot be read, that is only logged.

    Args:
        ledger: The ledger with the chain.
        run: The run.
        repository: Gives the run's repository, if the caller has it open already.

    Raises:
        TrailBroken: Somebody altered the ledger, or put an older copy in its place.
    """
    try:
        opened = repository() if repository else Repository.open(Path(run.repository))
        heads = published_heads(opened, run.id)
    except RepositoryError as error:
        _log.warning("the heads of %s cannot be read in git: %s", run.id, error.message)
        return
    ledger.audit_chain(run.id, heads)


def audit_run(ledger: Ledger, run: Run) -> AuditReport:
    """Audit a run in the ledger, and those it replays, and compare them with their heads in git.

    Raises:
        TrailBroken: Naming the first row that does not hold.
        ConfigError: There are signatures to verify, and ssh-keygen is missing.
    """
    (ours, *earlier), (heads, missing) = ledger.lineage(run.id), _heads(run)
    for replayed in reversed(earlier):
        ledger.audit(replayed, _heads(ledger.runs.get(replayed))[0])
    return AuditReport(ledger.audit(ours, heads), len(heads), missing, tuple(earlier))


def export_bundle(ledger: Ledger, run: Run, key: AttestationKey) -> bytes:
    """A run's whole trail, and those of the runs it replays, as one signed file."""
    heads, missing = _heads(run)
    tables = ledger.exported(run.id)
    earlier = {replayed: _heads(ledger.runs.get(replayed))[0] for replayed in ledger.lineage(run.id)[1:]}
    stated = release_statement(ExportedRows(tables), run.id)
    content = {
        "run": run.id,
        "rows": tables,
        "heads": heads,
        "heads_missing": missing,
        "heads_replayed": earlier,
        "release": None if stated is None else key.sign(IN_TOTO, canonical_json(stated).encode()),
    }
    sealed = key.sign(CONTENT, canonical_json(content).encode())
    return _spelled({"format": FORMAT, "key": encoded(key.public), "envelope": sealed})


def audit_bundle(bundle: bytes, *, expected_key: str = "") -> AuditReport:
    """Audit a bundle by its own content alone.

    Args:
        bundle: The file's bytes.
        expected_key: The required signer, as `sha256:…` of the public key; empty for the one that the bundle names.

    Raises:
        UsageError: The file is no bundle.
        TrailBroken: It was changed since it was signed, or its signed content does not hold.
        ConfigError: There are people's signatures to verify, and ssh-keygen is missing.
    """
    outside = _parsed(bundle)
    public = decoded(outside["key"])
    if expected_key not in {"", key_id(public)}:
        raise TrailBroken(f"the bundle is signed by {key_id(public)}, not by {expected_key}")
    try:
        content = read_stored_json(verified(outside["envelope"], public, CONTENT))
        rows, run_id = ExportedRows(content["rows"]), str(content["run"])
        heads = _read_heads(content["heads"])
        replayed = {str(run): _read_heads(stored) for run, stored in content.get("heads_replayed", {}).items()}
        missing, envelope = str(content["heads_missing"]), content["release"]
        earlier = lineage(rows, run_id)[1:]
        for run in reversed(earlier):
            audit_rows(rows, run, replayed.get(run, ()))
        trail, release = audit_rows(rows, run_id, heads), _check_release(rows, run_id, envelope, public)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # whoever makes a bundle signs it with a key of their own: its content has any shape
        raise TrailBroken(f"the bundle lacks what phasegate exports: {error!r}") from error
    return AuditReport(trail, len(heads), missing, tuple(earlier), key_id(public), release)


def release_statement(rows: Rows, run_id: str) -> dict[str, Any] | None:
    """In-toto Statement about the release in a run's rows, or None if nothing is released."""
    texts = _artifacts(rows, run_id)
    shipped = [row for row in rows.of_run("effects", run_id) if (row["kind"], row["status"]) == ("cut-over", "done")]
    run = rows.find("runs", run_id)
    if run is None or not shipped or "release" not in texts:
        return None
    head = max(rows.of_run("events", run_id), key=lambda event: int(event["position"]))
    digests = {name: sha256(texts[kind]) for kind, name in _MATERIALS.items() if kind in texts}
    release = read_stored_json(texts["release"])
    return {
        "_type": STATEMENT,
        "subject": [{"name": str(release["service"]), "digest": {"gitCommit": str(release["commit"])}}],
        "predicateType": PREDICATE,
        "predicate": {
            "run": {name: run[name] for name in ("id", "requester", "base_branch", "base_commit", "definition")},
            "digests": {**digests, "policy": run["policy"]},
            "gates": [_gate(rows, run_id, row) for row in _in_time(rows.of_run("gates", run_id), "opened_at")],
            "health": read_stored_json(texts["health-report"]).get("verdict") if "health-report" in texts else None,
            "chain": {"position": head["position"], "hash": head["hash"]},
        },
    }


def _check_release(rows: Rows, run_id: str, envelope: Mapping[str, Any] | None, public: bytes) -> str:
    """The commit of a signed statement, once the statement was found to agree with the rows."""
    expected = release_statement(rows, run_id)
    if expected is None or envelope is None:
        if expected is not None or envelope is not None:
            raise TrailBroken("the bundle's statement and its rows do not agree on whether there is a release")
        return ""
    stated = read_stored_json(verified(envelope, public, IN_TOTO))
    if stated != expected:
        raise TrailBroken("the statement about the release does not say what the rows say")
    return str(stated["subject"][0]["digest"]["gitCommit"])


def _artifacts(rows: Rows, run_id: str) -> dict[str, str]:
    """Kind to the canonical text of the newest artifact of that kind that still counts."""
    run = rows.find("runs", run_id)
    attempts = _in_time(rows.of_run("attempts", run_id), "started_at")
    digests = [] if run is None else [run["ticket"]]
    digests += [attempt["artifact"] for attempt in attempts if attempt["artifact"] and not attempt["superseded"]]
    texts = [row["content"] for digest in digests if (row := rows.find("artifacts", digest)) is not None]
    return {str(read_stored_json(text)["kind"]): text for text in texts}


def _gate(rows: Rows, run_id: str, gate: Row) -> dict[str, Any]:
    decisions = [row for row in rows.of_run("decisions", run_id) if row["gate_id"] == gate["id"]]
    named = ("approver", "identity", "verdict", "standing", "decided_at", "signature")
    return {
        **{name: gate[name] for name in ("gate", "number", "status", "subject_digest")},
        "subject": read_stored_json(gate["subject"]),
        "decisions": [{name: row.get(name) for name in named} for row in _in_time(decisions, "decided_at")],
    }


def _in_time(rows: Any, column: str) -> list[Row]:
    return sorted(rows, key=lambda row: (row[column], row["id"]))


def _heads(run: Run) -> tuple[list[tuple[int, str]], str]:
    """Heads of a run's chain in git.

    Returns:
        The heads, and the reason why they are missing, empty if they are not.
    """
    try:
        heads = published_heads(Repository.open(Path(run.repository)), run.id)
    except RepositoryError as error:
        return [], error.message
    return heads, "" if heads else f"no head of {run.id} was ever kept in {run.repository}"


def _read_heads(stored: Any) -> list[tuple[int, str]]:
    return [(int(position), str(head)) for position, head in stored]


def _parsed(bundle: bytes) -> dict[str, Any]:
    try:
        parsed = read_stored_json(bundle)
    except DocumentUnreadable as error:
        raise UsageError(f"this is no bundle: {error.reason}", remedy="`phasegate export RUN` makes one.") from error
    if not isinstance(parsed, dict) or set(cast("dict[str, Any]", parsed)) != {"format", "key", "envelope"}:
        raise UsageError("this is no bundle", remedy="`phasegate export RUN` makes one.")
    outside = cast("dict[str, Any]", parsed)
    if outside["format"] != FORMAT:
        raise UsageError(f"this phasegate reads {FORMAT}, not {outside['format']}", remedy="Use the other version.")
    if _spelled(outside) != bundle:
        raise TrailBroken("the bundle was changed: its text is not what `phasegate export` writes for its content")
    return outside


def _spelled(outside: Mapping[str, Any]) -> bytes:
    return f"{canonical_json(outside)}\n".encode()
