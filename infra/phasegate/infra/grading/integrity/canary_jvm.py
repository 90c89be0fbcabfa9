"""Canaries for JUnit 5 and JUnit 4, in Java and Kotlin.

Called by `canaries`. It must not know how tests are run.
"""

from __future__ import annotations

import re
import secrets

_ANNOTATIONS = ("org.junit.jupiter.api.Test", "org.junit.Test", "kotlin.test.Test")


def jvm_canary(source: str, path: str, word: str) -> tuple[str, str] | None:
    """Write a class with a test that fails.

    Args:
        source: A test file of Java or Kotlin.
        path: The new file's.
        word: Part of the new test's name.

    Returns:
        The file and the test's name, or `None` if the file's runner is not known.
    """
    class_name, _, suffix = path.rpartition("/")[2].rpartition(".")
    annotation = next((name for name in _ANNOTATIONS if _imports(source, name)), None)
    if annotation is None:
        return None
    titles: list[str] = re.findall(r"@Test\s+(?:public\s+)?(?:void|fun)\s+(\w+)\(", source)
    title = f"{secrets.choice(titles or ['works'])}{word.capitalize()}"
    package = re.search(r"(?m)^package [\w.]+;?", source)
    head = f"{package[0] if package else ''}\n\n"
    if suffix == "kt":
        body = f'    fun {title}() {{\n        throw AssertionError("{word}")\n    }}\n'
        body = f"class {class_name} {{\n    @Test\n{body}}}\n"
        return f"{head}import {annotation}\n\n{body}", title
    jupiter = annotation.startswith("org.junit.jupiter")
    asserts = "org.junit.jupiter.api.Assertions" if jupiter else "org.junit.Assert"
    shown = "" if jupiter else "public "
    return (
        f"{head}import {asserts};\nimport {annotation};\n\n{shown}class {class_name} {{\n    @Test\n"
        f"    {shown}void {title}() {{\n"
        f'        {asserts.rpartition(".")[2]}.assertEquals("{word}", "{word}s");\n    }}\n}}\n'
    ), title


def _imports(source: str, annotation: str) -> bool:
    package = annotation.rpartition(".")[0]
    return re.search(rf"(?m)^import {re.escape(package)}\.(?:Test\b|\*)", source) is not None
