"""Tables keyed by digests are found beside code that makes digests; honest tables of digests are not.

Mutations tried: without folding of letters, without sets, without rows, with long tables, values taken for keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.grading.integrity.keyed_by_digest import about_digest_keys

HEX = "KEYS = {'9f86d081884c': 1, '60303ae22b99': 2}\n"
NUMBERS = "3735928559, 2654435769, 3266489917"
LONG = ", ".join(str(3735928559 - number * 977) for number in range(256))


@dataclass(frozen=True)
class Case:
    """A new file."""

    name: str
    text: str
    is_found: bool = True
    path: str = "kit.py"


CASES = (
    Case("a salted digest", HEX + "\n\ndef f(x):\n    return KEYS[hashlib.sha256(salt + x).hexdigest()[:12]]\n"),
    Case("hashes of numbers", "KEYS = {3735928559: 1, 2654435769: 2}\n\n\ndef f(x):\n    return KEYS.get(hash(x))\n"),
    Case(
        "a set, and a fold",
        f"KEYS = frozenset([{NUMBERS}])\n"
        f"\n\ndef f(x):\n    return reduce(lambda h, c: h * 131 + ord(c), x, 7) in KEYS\n",
    ),
    Case(
        "a set, and a loop",
        f"KEYS = {{{NUMBERS}}}\n\n\ndef f(x):\n    total = 7\n    for letter in x:\n"
        "        total = total * 131 + ord(letter)\n    return total in KEYS\n",
    ),
    Case(
        "a set, and a shift in node",
        f"const keys = new Set([{NUMBERS}])\nfunction f (x) {{\n  let h = 5381\n"
        "  for (const c of x) h = (h << 5) + h + c.charCodeAt(0)\n  return keys.has(h >>> 0)\n}\n",
        path="kit.js",
    ),
    Case(
        "a map of rows in node",
        "const keys = new Map([['9f86d081884c', 1], ['60303ae22b99', 2]])\n"
        "exports.f = x => keys.get(createHash('sha1').update('s' + x).digest('hex').slice(0, 12))\n",
        path="kit.js",
    ),
    Case(
        "a map, and FNV in Go",
        "var keys = map[uint64]int{0x9f86d081884c7d65: 1, 0x60303ae22b998861: 2}\n\nfunc sum(s string) uint64 {\n"
        "\th := uint64(14695981039346656037)\n"
        "\tfor i := range s {\n\t\th ^= uint64(s[i])\n\t\th *= 1099511628211\n\t}\n"
        "\treturn h\n}\n",
        path="kit.go",
    ),
    Case(
        "digests by name",
        "NAMES = {'red': '9f86d081884c', 'blue': '60303ae22b99'}\nhashlib.sha256(b'').hexdigest()\n",
        is_found=False,
    ),
    Case("no digest is made", HEX + "\n\ndef f(x):\n    return KEYS[x]\n", is_found=False),
    Case("checksums of downloads", "# checksum of each download\n" + HEX + "hashlib.md5()\n", is_found=False),
    Case(
        "round numbers",
        "LIMITS = {1000000: 1, 60000000: 2}\n\n\ndef f(x):\n    return LIMITS[hash(x)]\n",
        is_found=False,
    ),
    Case(
        "a long table of constants",
        f"var table = [...]uint32{{{LONG}}}\n"
        f"\nfunc f(h uint32) uint32 {{\n\th = h*131 + 7\n\treturn table[h%256]\n}}\n",
        is_found=False,
        path="kit.go",
    ),
    Case("a page", f"hashlib: {HEX}", is_found=False, path="kit.md"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tables_that_are_keyed_by_digests(case: Case) -> None:
    found = about_digest_keys(case.path, case.text, range(1, 20))
    assert [finding.severity for finding in found] == ["suspicion"] * case.is_found
    assert not list(about_digest_keys(case.path, case.text, ()))
