"""Mutated documents: each reader gives the value or one of our errors, within its time, and nothing else.

`FUZZ_INPUTS=10000` sets the number for each reader; `make proof` does. `FUZZ_ONE=json/17` reads that one input alone.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import time
import tomllib
from collections.abc import Callable
from random import Random

import pytest
import yaml
from tests.fuzz.mutations import mutated
from tests.fuzz.readers import READERS, Reader, seeds

from phasegate.infra.errors import PhasegateError

INPUTS = int(os.environ.get("FUZZ_INPUTS", "500"))
ONE = os.environ.get("FUZZ_ONE", "")
REFUSED = {"refusal of a model", "limit of a model", "prometheus", "issue address", "bundle"}
"""Readers whose seeds are refusals, too."""
SECONDS = 5.0
"""Processor time of one input: the slowest bound takes a fraction of it on a slow machine."""


def failure(reader: Reader, index: int) -> str:
    """Description of what came out wrong of an input; empty if nothing did."""
    content = mutated(reader.seeds, Random(f"{reader.name}/{index}"))
    began, wrong = time.thread_time(), ""
    try:
        reader.read(content)
    except reader.refusals as refusal:
        wrong = "" if str(refusal) else "a refusal without a word"
        if isinstance(refusal, PhasegateError) and not refusal.message.isprintable():
            refusal.message.encode()
    except (Exception, RecursionError, MemoryError) as error:  # noqa: BLE001  any other error is a defect
        wrong = f"{type(error).__name__}: {str(error)[:200]}"
    if (seconds := time.thread_time() - began) > SECONDS:
        wrong = f"{wrong} {seconds:.1f} s"
    return wrong and f"FUZZ_ONE={reader.name}/{index}: {wrong}: {content[:200]!r}"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_reader_gives_the_value_or_our_error(reader: Reader) -> None:
    """Mutations tried: without the check of depth in `json_text`; without `lone_surrogate` in `yaml_text`."""
    indexes = range(INPUTS)
    if ONE:
        name, _, index = ONE.rpartition("/")
        indexes = range(int(index), int(index) + 1) if name == reader.name else range(0)
    failures = [wrong for index in indexes if (wrong := failure(reader, index))]
    assert not failures, "\n".join(failures[:10])


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_the_seeds_are_valid(reader: Reader) -> None:
    for seed in reader.seeds:
        expected = (PhasegateError,) if reader.name in REFUSED else ()
        with contextlib.suppress(*expected):
            reader.read(seed)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("json", json.loads),
        ("toml", lambda content: tomllib.loads(content.decode("utf-8", "replace"))),
        ("script", yaml.safe_load),
        ("python", ast.parse),
    ],
    ids=["json", "toml", "yaml", "python"],
)
def test_a_raw_parser_does_not_pass(name: str, read: Callable[[bytes], object]) -> None:
    """The fuzzer tells: what the raw parsers raise besides their own errors is among the first 500 inputs."""
    usual = (json.JSONDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError, SyntaxError)
    reader = Reader(name, seeds(name), read, usual)
    assert any(failure(reader, index) for index in range(500))
