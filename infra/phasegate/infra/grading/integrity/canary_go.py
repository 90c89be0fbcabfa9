"""Canaries for `go test`.

Called by `canaries`. It must not know how tests are run.
"""

from __future__ import annotations

import re
import secrets


def go_canary(source: str, word: str) -> tuple[str, str] | None:
    """Write a test that fails, in the sealed file's package and under its build constraints.

    Args:
        source: A `_test.go` file.
        word: Part of the new test's name.

    Returns:
        The file and the test's name, or `None` if the file has no package or no test of `testing`.
    """
    package = re.search(r"(?m)^package \w+", source)
    titles: list[str] = re.findall(r"(?m)^func (Test\w+)\(\w+ \*testing\.T\)", source)
    if not package or not titles:
        return None
    constraints = "".join(f"{line}\n" for line in re.findall(r"(?m)^//(?:go:build| \+build) .*$", source))
    title = f"{secrets.choice(titles)}{word.capitalize()}"
    number = 3 + secrets.randbelow(90)
    return (
        f'{constraints}{constraints and chr(10)}{package[0]}\n\nimport "testing"\n\n'
        f"func {title}(t *testing.T) {{\n\tgot, want := {number}, {number + 1 + secrets.randbelow(9)}\n"
        '\tif got != want {\n\t\tt.Fatalf("got %v, want %v", got, want)\n\t}\n}\n'
    ), title
