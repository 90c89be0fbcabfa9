"""Canaries for cargo's integration tests.

Each file directly in `tests/` is a crate of its own, so a further file there disturbs none. Tests inside `src/` are
part of the product's modules: nothing can be planted beside them. Called by `canaries`. It must not know how tests are
run.
"""

from __future__ import annotations

import re
import secrets


def rust_canary(source: str, path: str, word: str, *, alone: bool = False) -> tuple[str, str] | None:
    """Write a test that fails, beside a copy of the sealed file's: each file is a process of its own.

    Args:
        source: A test file of Rust.
        path: The new file's.
        word: Part of the new test's name.
        alone: True if nothing of the sealed file may be in it.

    Returns:
        The file and the test's name, or `None` if the file is no integration test.
    """
    if path.split("/")[-2:-1] != ["tests"]:
        return None
    titles: list[str] = re.findall(r"#\[test\]\s*(?:pub )?fn (\w+)\(", source)
    title = f"{secrets.choice(titles or ['works'])}_{word}"
    number = 3 + secrets.randbelow(90)
    test = f"#[test]\nfn {title}() {{\n    assert_eq!({number}, {number + 1 + secrets.randbelow(9)});\n}}\n"
    return test if alone else f"{source.rstrip()}\n\n{test}", title
