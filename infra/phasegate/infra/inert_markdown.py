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
    source = iter(sanitize(text).split("\n"))
    for line in source:
        fence = _FENCE.match(line)
        if fence is None or "`" in fence["info"]:
            lines.append(_PART.sub(_inert, line))
            continue
        end = re.compile(rf"^[\s>]*{re.escape(fence[1])}{re.escape(fence[1][0])}*\s*$")
        code: list[str] = []
        for inner in source:
            if end.match(inner):
                break
            code.append(inner)
        lines += ["", *_fenced(code), ""]
    return "\n".join(lines)


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
