"""Makes Markdown from tickets, models and tools inert: it renders as text, lists, tables and code, and as nothing else.

Called where a page is made for a browser. Raw HTML, images, links and entities are shown as they are written. Nothing
is parsed as a renderer would: whatever is not code in the spelling written here is escaped, so that no renderer can
read it otherwise.
"""

from __future__ import annotations

import re

from phasegate.infra.sanitize import sanitize

_FENCE = re.compile(r"^(?:\s|[-*+>]\s|\d{1,9}[.)]\s)*?(`{3,}|~{3,})(?P<info>.*)$")
_PART = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])"
    r"|(?<!`)(?P<marks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=marks)(?!`)"
    r"|(?P<marked>[<&\[\]`~])"
    r"|://|www\.|@",  # what renderers make a link of by itself
    re.IGNORECASE,
)
_ENTITY = {"<": "&lt;", "&": "&amp;"}


def inert_markdown(text: str) -> str:
    """The same text as Markdown that holds no HTML, image, link or entity, and no character that shows nothing."""
    lines: list[str] = []
    source, at = sanitize(text).split("\n"), 0
    unclosed: dict[str, int] = {}
    while at < len(source):
        if end := _end_of_code(source, at, unclosed):
            lines += ["", *_fenced(source[at + 1 : end]), ""]
        else:
            lines.append(_PART.sub(_inert, source[at]))
        at = (end or at) + 1
    return "\n".join(lines)


def _end_of_code(source: list[str], at: int, unclosed: dict[str, int]) -> int:
    """The line that closes a fence, or 0: a fence that is never closed would take all that follows for code.

    Args:
        source: All lines.
        at: The line that may begin a fence.
        unclosed: The shortest fence of each mark that no later line closes; kept, so that many cost little.
    """
    fence = _FENCE.match(source[at])
    if fence is None or "`" in fence["info"] or len(fence[1]) >= unclosed.get(fence[1][0], len(fence[1]) + 1):
        return 0
    end = re.compile(rf"^[\s>]*{re.escape(fence[1])}{re.escape(fence[1][0])}*\s*$")
    found_at = next((number for number in range(at + 1, len(source)) if end.match(source[number])), 0)
    if not found_at:
        unclosed[fence[1][0]] = len(fence[1])
    return found_at


def _fenced(code: list[str]) -> list[str]:
    """A block of code between marks that do not occur in it, at the beginning of a line."""
    longest = max((len(run) for line in code for run in re.findall("`+", line)), default=0)
    marks = "`" * max(3, longest + 1)
    return [marks, *code, marks]


def _inert(match: re.Match[str]) -> str:
    text = match[0]
    if match["escape"]:
        return _ENTITY.get(text[1], text)
    if match["code"]:
        # a cell of a table ends at a `|`, in code as well: what is behind it would be code no more
        return re.sub("[<&]", lambda sign: _ENTITY[sign[0]], text) if "|" in text else text
    if match["marked"]:
        return _ENTITY.get(text, f"\\{text}")
    return text.replace(":", "\\:").replace(".", "\\.").replace("@", "\\@")
