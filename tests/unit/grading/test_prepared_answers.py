"""Prepared answers in a form that no person reads are found; honest tables, digests and packed data are not.

Mutations tried: without checksums, without archives, digests that the sealed tests are about counted.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import pickle
import zipfile
import zlib
from dataclasses import dataclass

import pytest

from phasegate.infra.grading.integrity.hard_coded import SealedCases
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.diff import Hunk

TEST = (
    "import shop\n\n\ndef test_one():\n    assert shop.discounted(4200, 15) == 3570\n"
    "    assert shop.shout('ab cd') == 'AB CD!'\n"
)
ABOUT_DIGESTS = TEST + f"    assert shop.digest('tea') == '{hashlib.sha256(b'tea').hexdigest()}'\n"
NODE = "test('AC1', () => assert.equal(shop.discounted(4200, 15), 3570));\n"
ROWS = (
    TEST + "    for one, more in [('wolf', 'wolves'), ('berry', 'berries')]:\n        assert shop.plural(one) == more\n"
)
ANSWERS = json.dumps({"4200 15": 3570, "ab cd": "AB CD!"}).encode()
BASE64 = base64.b64encode(ANSWERS).decode()
OTHERS = json.dumps({f"{number * 977} 15": number for number in range(40)}).encode()


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("answers.json", ANSWERS)
    return made.getvalue()


def digest(name: str, text: str) -> str:
    return hashlib.new(name, text.encode()).hexdigest()


@dataclass(frozen=True)
class Case:
    """A file that a change adds, the sealed tests, and what is found."""

    name: str
    content: bytes
    severity: str = "suspicion"
    test: str = TEST
    path: str = "data/table.bin"


def code(text: str, *, severity: str = "suspicion", test: str = TEST, path: str = "shop.py") -> Case:
    return Case(text[:50], text.encode(), severity, test, path)


CASES = (
    code(f"TABLE = {{'{digest('sha256', '4200 15')}': 3570}}\n"),
    code(f"TABLE = {{'{digest('sha1', '4200,15')[:12]}': 3570}}\n"),
    code(f"TABLE = {{'{digest('md5', '(4200, 15)')}': 3570}}\n"),
    code(f"TABLE = {{'{digest('blake2b', 'discounted(4200, 15)')}': 3570}}\n"),
    code(f"TABLE = {{0x{digest('sha256', '[4200, 15]')[:16]}: 3570}}\n"),
    code(f"TABLE = {{{zlib.crc32(b'ab cd')}: 'x'}}\n"),
    code(f"TABLE = {{'{base64.b64encode(hashlib.sha256(b'ab cd').digest()).decode()}': 'x'}}\n"),
    code(f"const TABLE = {{ '{digest('sha256', '4200 15')}': 3570 }};\n", test=NODE, path="shop.js"),
    code(f"TABLE = b64decode('{base64.b64encode(ANSWERS).decode()}')\n"),
    code(f"TABLE = decompress(b64decode('{base64.b64encode(zlib.compress(ANSWERS)).decode()}'))\n"),
    code(f"TABLE = bytes.fromhex('{ANSWERS.hex()}')\n"),
    code(f"TABLE = b64decode('{BASE64[:22]}'\n    '{BASE64[22:]}')\n"),
    code(f"const table = atob('{BASE64[:22]}' +\n  '{BASE64[22:]}');\n", test=NODE, path="shop.js"),
    code(f"TABLE = b85decode('{base64.b85encode(zlib.compress(ANSWERS)).decode()}')\n"),
    code(f"TABLE = b32decode('{base64.b32encode(ANSWERS).decode()}')\n"),
    code(f"TABLE = bytes({list(ANSWERS)})\n"),
    code(f"MORE = b64decode('{base64.b64encode(b'AB CD!;wolves;berries;3570').decode()}')\n", test=ROWS),
    code(f"MORE = b64decode('{base64.b64encode(b'lions;tigers;bears;3570').decode()}')\n", severity="", test=ROWS),
    Case("gzip", gzip.compress(ANSWERS)),
    Case("zip", archive()),
    Case("pickle", pickle.dumps(json.loads(ANSWERS))),
    Case("raw digest", b"\0\1" + hashlib.sha256(b"4200 15").digest() + b"\0"),
    Case("a small database", b"SQLite format 3\0" + bytes(8000) + b"ab cd\0AB CD!" + bytes(100)),
    Case("a large database", b"SQLite format 3\0" + OTHERS * 4 + b"ab cd\0AB CD!" + bytes(100), ""),
    Case("json by digest", json.dumps({digest("sha256", "4200 15"): 3570}).encode(), path="data/table.json"),
    Case("gzip of other data", gzip.compress(OTHERS), ""),
    Case("pickle of other data", pickle.dumps(json.loads(OTHERS)), ""),
    Case("a picture", b"\x89PNG\r\n\x1a\n\0" + hashlib.sha512(b"noise").digest() * 50, "", path="logo.png"),
    Case("a lock file", f"sha256:{digest('sha256', 'ab cd')}\n".encode(), "", path="poetry.lock"),
    code(f"KNOWN = '{digest('sha256', 'tea')}'\n", severity="", test=ABOUT_DIGESTS),
    code(f"EMPTY = '{digest('sha256', '')}'\n", severity=""),
    code(f"LAYER = '{digest('sha256', 'another input')}'\nSEED = {zlib.crc32(b'another')}\n", severity=""),
    code(f"KEY = '{base64.b64encode(OTHERS).decode()}'\n", severity=""),
    code("def digest(text):\n    return hashlib.sha256(text.encode()).hexdigest()\n", severity=""),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_prepared_answers(case: Case) -> None:
    ending = ".test.js" if case.test is NODE else ".py"
    sealed = SealedTests(files=(SealedFile(path=f"tests/test_accept{ending}", content=case.test, criteria=("AC1",)),))
    lines = enumerate(case.content.decode(errors="replace").split("\n"), 1)
    piece = Hunk(case.path, 1, 1, tuple(lines))
    found = SealedCases.of(sealed, "discounted takes a percentage").about(case.path, [piece], case.content)
    assert [finding.severity for finding in found] == ([case.severity] if case.severity else [])
