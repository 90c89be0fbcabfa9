"""The documents room alone calls the raw parsers; every other place that does is named here, with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FLOORS = ("flows", "agents", "infra")
ROOM = "infra/phasegate/infra/documents/"
RAW = {
    "json": {"loads", "load", "JSONDecoder"},
    "tomllib": {"loads", "load"},
    "yaml": {"safe_load", "safe_load_all", "load", "load_all", "full_load", "parse", "compose", "scan", "SafeLoader"},
    "ast": {"parse", "literal_eval"},
    "expat": {"ParserCreate"},
    "ElementTree": {"parse", "fromstring", "iterparse", "XML"},
    "pickle": {"loads", "load"},
    "gzip": {"decompress", "open"},
    "zlib": {"decompress"},
}
"""Module to its functions that read a document without a bound of ours."""
METHODS = {"model_validate_json", "validate_json"}
"""Methods of pydantic that parse JSON."""

OWN_ROWS = "the ledger's own rows, which no one else writes: `audit` reads trails with `read_stored_json`"
OWN_FILE = "a file of phasegate's own, in its state folder or its scratch folder"
IN_THE_SANDBOX = "it runs in the process of the change, with the standard library alone, and ends with it"
OWN_ORDER = "its own order, on its command line or on a pipe, from the process that started it"
OWN_SOURCE = "source that ships with phasegate, or that it has just written"

INFRA = "infra/phasegate/infra"
NAMED = {
    f"{INFRA}/artifacts.py": OWN_ROWS,
    f"{INFRA}/ledger/ledger.py": OWN_ROWS,
    f"{INFRA}/ledger/artifacts.py": OWN_ROWS,
    f"{INFRA}/ledger/effects.py": OWN_ROWS,
    f"{INFRA}/ledger/exchanges.py": OWN_ROWS,
    f"{INFRA}/ledger/rewinds.py": OWN_ROWS,
    f"{INFRA}/ledger/turns.py": OWN_ROWS,
    f"{INFRA}/ledger/storage/schema.py": OWN_ROWS,
    "agents/phasegate/agents/loop/threads.py": OWN_ROWS,
    "agents/phasegate/agents/rehearsal/recorded.py": OWN_ROWS,
    "flows/phasegate/flows/views/report.py": OWN_ROWS,
    "flows/phasegate/flows/lifecycle/replay/source.py": "JSON that it has just spelled itself",
    f"{INFRA}/policy/load.py": "JSON that it has just spelled itself",
    f"{INFRA}/deploy/service_folder.py": OWN_FILE,
    f"{INFRA}/deploy/process/supervisor/supervisor.py": OWN_ORDER,
    f"{INFRA}/deploy/kubernetes/records.py": "the state in the cluster, which only the engine's account writes",
    f"{INFRA}/sandbox/service_supervisor.py": OWN_ORDER,
    f"{INFRA}/metrics/sources/duckdb_worker.py": OWN_ORDER,
    f"{INFRA}/described.py": OWN_SOURCE,
    f"{INFRA}/grading/base.py": OWN_FILE,
    f"{INFRA}/grading/base_runs.py": OWN_FILE,
    f"{INFRA}/grading/guards/base_coverage.py": OWN_FILE,
    f"{INFRA}/grading/guards/piece_runs.py": OWN_FILE,
    f"{INFRA}/grading/runner/report_process.py": OWN_ORDER,
    f"{INFRA}/grading/runner/layer_retention.py": OWN_FILE,
    f"{INFRA}/grading/runner/layers.py": OWN_FILE,
    f"{INFRA}/grading/heldout/__init__.py": OWN_SOURCE,
    f"{INFRA}/grading/tree/bare_source.py": OWN_SOURCE,
    f"{INFRA}/grading/integrity/lenient_copies.py": OWN_SOURCE,
    f"{INFRA}/grading/tree/test_cases.py": "`literal_eval` of a node of a tree that `read_python` bounds",
    f"{INFRA}/grading/integrity/plain/sources.py": IN_THE_SANDBOX,
    f"{INFRA}/grading/integrity/plain/namespaces.py": IN_THE_SANDBOX,
    f"{INFRA}/grading/served/scripts/record.py": IN_THE_SANDBOX,
    f"{INFRA}/grading/served/scripts/ask.py": IN_THE_SANDBOX,
    "agents/phasegate/agents/models/error_rules.py": OWN_SOURCE,
    "agents/phasegate/agents/models/prices.py": OWN_SOURCE,
}


def test_only_the_documents_room_calls_the_raw_parsers(root: Path) -> None:
    """Mutations tried: `json.loads` in a stage; a name of the table for a module that calls none."""
    calls = {place: sorted(names) for place in _modules(root) if (names := set(_raw_calls(root / place)))}
    assert any(place.startswith(ROOM) for place in calls)
    others = {place: names for place, names in calls.items() if not place.startswith(ROOM)}
    assert {place: names for place, names in others.items() if place not in NAMED} == {}
    assert sorted(set(NAMED) - set(others)) == [], "named here, and reads nothing raw"


def _modules(root: Path) -> Iterator[str]:
    for floor in FLOORS:
        for path in sorted((root / floor / "phasegate").rglob("*.py")):
            yield path.relative_to(root).as_posix()


def _raw_calls(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    aliases = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in RAW
        for alias in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if name in METHODS:
                yield name
            case ast.Attribute(value=ast.Name(id=module) | ast.Attribute(attr=module), attr=name) if name in RAW.get(
                module, ()
            ):
                yield f"{module}.{name}"
            case ast.Name(id=name) if aliases.get(name, "").rpartition(".")[2] in RAW.get(
                aliases.get(name, "").partition(".")[0], ()
            ):
                yield aliases[name]
            case _:
                pass
