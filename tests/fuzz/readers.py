"""Readers of documents from outside, each with seeds of valid documents and the errors it may answer with."""

from __future__ import annotations

import ast
import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasegate.agents.models.client import Retries, open_client
from phasegate.agents.models.names import ModelName
from phasegate.agents.rehearsal.answers import Dialect, position
from phasegate.agents.rehearsal.dialects.chat_completions import ChatCompletionsDialect
from phasegate.agents.rehearsal.dialects.messages import MessagesDialect
from phasegate.agents.rehearsal.dialects.responses import ResponsesDialect
from phasegate.agents.rehearsal.script_file import read_script
from phasegate.flows.engine.ipc import _answer_line
from phasegate.flows.runs.audit_bundle import CONTENT, FORMAT, audit_bundle
from phasegate.infra.artifacts import canonical_json
from phasegate.infra.command_rules.programs import invocations
from phasegate.infra.command_rules.shell_words import Unparsable
from phasegate.infra.deploy.kubernetes.api.manifests import read_manifests
from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.compressed import gunzipped_base64
from phasegate.infra.documents.globs import glob_matches, require_glob
from phasegate.infra.documents.json_text import read_json, read_json_table
from phasegate.infra.documents.python_source import read_python
from phasegate.infra.documents.toml_text import read_toml
from phasegate.infra.documents.yaml_text import read_yaml, read_yaml_documents
from phasegate.infra.errors import ConfigError, PhasegateError, TemporaryError, TrailBroken, UsageError
from phasegate.infra.grading.runner.junit import parse
from phasegate.infra.grading.runner.report_text import ReportUnreadable
from phasegate.infra.grading.tree.settings import with_base_settings
from phasegate.infra.grading.tree.test_sources import list_tests
from phasegate.infra.identity.attestation import AttestationKey, encoded
from phasegate.infra.metrics.sources.command import Command
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.prometheus import _values
from phasegate.infra.policy.conditions import ConditionError, parse_condition
from phasegate.infra.policy.load import load_policy
from phasegate.infra.policy.monitor import MetricPolicy
from phasegate.infra.secrets import Secrets
from phasegate.infra.tickets.github import issue_address
from phasegate.infra.tickets.read import read_ticket

SEEDS = Path(__file__).parent / "seeds"
KEY = AttestationKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
"""Key of the seed of a bundle."""
LONG_PATH = "a/" * 1_500 + "a" * 250


@dataclass(frozen=True)
class Reader:
    """A reader, as the fuzzer calls it.

    Attributes:
        name: Its name, which is part of the seed.
        seeds: Valid documents.
        read: Reads one, and does with the value what its rooms do.
        refusals: Errors it may raise.
    """

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]


def seeds(folder: str) -> tuple[bytes, ...]:
    """Valid documents of one kind."""
    return tuple(path.read_bytes() for path in sorted((SEEDS / folder).iterdir()))


def _stored(value: object) -> None:
    """Spell a value as the ledger does."""
    canonical_json(value).encode()


def _json(content: bytes) -> None:
    _stored(read_json(content, "a.json"))


def _toml(content: bytes) -> None:
    json.dumps(read_toml(content, "a.toml"), default=str).encode()


def _yaml(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    document = read_yaml(text, "a.yaml", schema="json", bounds=DocumentBounds(values=50_000))
    _stored(None if document is None else document.value)


def _manifests(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    list(read_yaml_documents(text, "a.yaml", schema="yaml-1.1"))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.yaml").write_bytes(content)
        for manifest in read_manifests(Path(folder), "a.yaml", namespace="web"):
            json.dumps(manifest, sort_keys=True, allow_nan=False).encode()
        assert [path.name for path in Path(folder).iterdir()] == ["a.yaml"]


class _Visitor(ast.NodeTransformer):
    """Goes everywhere, as graders' visitors do."""


def _python(content: bytes) -> None:
    tree = read_python(content, "a.py")
    ast.unparse(ast.fix_missing_locations(_Visitor().visit(tree)))
    ast.dump(tree)


def _tests(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    for path in ("tests/test_a.py", "a_test.go", "src/a.test.ts", "ATest.java"):
        list_tests(path, text)


def _policy(content: bytes) -> None:
    _stored(load_policy(content, source="phasegate.toml").model_dump(mode="json"))


def _script(content: bytes) -> None:
    _stored(read_script(content.decode("utf-8", "replace"), "script.yaml").model_dump(mode="json"))


def _ticket(content: bytes) -> None:
    ticket = read_ticket("-", stdin=lambda: content, environment={})
    ticket.canonical().encode()
    assert "\0" not in ticket.canonical()


def _settings(name: str) -> Callable[[bytes], None]:
    seed = seeds("json")[2] if name == "package.json" else seeds("toml")[0]

    def read(content: bytes) -> None:
        with_base_settings(name, seed, content)
        with_base_settings(name, content, seed)

    return read


def _model(provider: str, status: int = 200) -> Callable[[bytes], None]:
    kind = "text/event-stream" if status == 200 else "application/json"

    async def ask(content: bytes) -> None:
        after = content[:40].decode("ascii", "replace").replace("\n", " ")
        sent = [(b"content-type", kind.encode()), (b"retry-after", after.encode())]
        reply = httpx.Response(status, content=content, headers=sent)
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: reply)) as http:
            name = ModelName.parse(f"{provider}:m")
            client = open_client(name, base_url="http://127.0.0.1:1", key="k", http=http, retries=Retries(tries=1))
            answer = await client.send(b"{}", on_text=lambda _: None)
        _stored([answer.message, answer.response])
        for count in asdict(answer.usage).values():
            assert 0 <= count < 2**63

    def read(content: bytes) -> None:
        asyncio.run(ask(content))

    return read


def _prometheus(content: bytes) -> None:
    try:
        answer = read_json(content, "the answer")
    except ConfigError:
        return
    for value in _values(answer).values():
        assert isinstance(value, float)


def _address(content: bytes) -> None:
    issue_address(content.decode("utf-8", "replace"), {})


def _glob(content: bytes) -> None:
    pattern = require_glob(content.decode("utf-8", "replace"))
    glob_matches(pattern, LONG_PATH)
    glob_matches(pattern, "test_" * 50 + ".py")


def _condition(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    parse_condition(text, ("error_rate", "p95_ms", "a", "b")).holds({"a": 1.0, "b": float("nan"), "p95_ms": 3.0})


def _shell(content: bytes) -> None:
    assert invocations(content.decode("utf-8", "replace")) is not None


def _report(content: bytes) -> None:
    parse(content, Path("/checkout"))


def _packed(content: bytes) -> None:
    gunzipped_base64(content.decode("latin-1"), "a release", DocumentBounds(size=100_000))


def _bundle(content: bytes) -> None:
    sealed = KEY.sign(CONTENT, content)
    outside = {"format": FORMAT, "key": encoded(KEY.public), "envelope": sealed}
    audit_bundle(f"{canonical_json(outside)}\n".encode())
    audit_bundle(content)


def _command(content: bytes) -> None:
    metric = MetricPolicy(name="m", source="command", command="x", values=("rate", "p50"), failure_condition="rate > 1")
    released = MeasuredRelease("r", "c", "u", none, none, {}, Secrets.of({}))
    for value in Command(metric, released)._numbers(content).values():
        assert isinstance(value, float)


async def none() -> Any:
    """No log, and no files."""


def _engine(content: bytes) -> None:
    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "request": request}

    json.dumps(asyncio.run(_answer_line(content, answer))).encode()


def _request(dialect: Dialect) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        question = dialect.read(read_json_table(content, "the request"), 7)
        position(question.utterances)

    return read


READERS = (
    Reader("bundle", seeds("bundle"), _bundle, (TrailBroken, UsageError)),
    Reader("command", seeds("command"), _command, (TemporaryError,)),
    Reader("engine request", seeds("engine"), _engine, ()),
    Reader("request in chat completions", seeds("request_chat"), _request(ChatCompletionsDialect()), (ValueError,)),
    Reader("request in messages", seeds("request_messages"), _request(MessagesDialect()), (ValueError,)),
    Reader("request in responses", seeds("request_responses"), _request(ResponsesDialect()), (ValueError,)),
    Reader("json", seeds("json"), _json, (ConfigError,)),
    Reader("toml", seeds("toml"), _toml, (ConfigError,)),
    Reader("yaml", seeds("script"), _yaml, (ConfigError,)),
    Reader("manifests", seeds("manifest"), _manifests, (ConfigError,)),
    Reader("python", seeds("python"), _python, (ConfigError,)),
    Reader("tests", seeds("python"), _tests, ()),
    Reader("policy", seeds("policy"), _policy, (ConfigError,)),
    Reader("script", seeds("script"), _script, (ConfigError,)),
    Reader("ticket", seeds("ticket"), _ticket, (ConfigError,)),
    Reader("issue address", seeds("address"), _address, (ConfigError,)),
    Reader("package.json", seeds("json")[2:], _settings("package.json"), ()),
    Reader("pyproject.toml", seeds("toml")[:1], _settings("pyproject.toml"), ()),
    Reader("command line", seeds("shell"), _shell, (Unparsable,)),
    Reader("report", seeds("report"), _report, (ReportUnreadable,)),
    Reader("chat completions", seeds("chat_completions"), _model("compatible"), (PhasegateError,)),
    Reader("messages", seeds("messages"), _model("anthropic"), (PhasegateError,)),
    Reader("responses", seeds("responses"), _model("openai"), (PhasegateError,)),
    Reader("refusal of a model", seeds("refusal"), _model("openai", 400), (PhasegateError,)),
    Reader("limit of a model", seeds("refusal"), _model("anthropic", 429), (PhasegateError,)),
    Reader("prometheus", seeds("prometheus"), _prometheus, (TemporaryError,)),
    Reader("glob", seeds("glob"), _glob, (ValueError,)),
    Reader("condition", seeds("condition"), _condition, (ConditionError,)),
    Reader("packed manifests", seeds("packed"), _packed, (ConfigError,)),
)
