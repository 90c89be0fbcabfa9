"""A page in a browser shows agents' Markdown as text: no HTML, no image, no link, no character that hides."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from phasegate.flows.engine.prefect_backend import executor
from phasegate.flows.engine.prefect_backend.executor import PrefectExecutor
from phasegate.flows.engine.wakeups import WakeupRegistry
from phasegate.infra.inert_markdown import inert_markdown

ACTS = {"html_block", "html_inline", "image", "link_open"}
BY_ITSELF = re.compile(r"(?<!\\)://|www\.\w|(?<!\\)@")
"""Text that GitHub's Markdown makes a link of."""

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=https://evil.example/a.png onerror=x>",
    "![a](https://evil.example/a.png)",
    "![a][b]\n\n[b]: https://evil.example/a.png",
    "[approve](javascript:alert(1))",
    "[approve](https://evil.example)",
    "<https://evil.example>",
    "https://evil.example/approve",
    "xhttps://evil.example",
    "(www.evil.example)",
    "ana@evil.example",
    "\\<img src=x>",
    "\\[x](https://evil.example)",
    "\\\\[x](https://evil.example)",
    "[a\n](https://evil.example)",
    "<img src=x\n>",
    "&lt;script&gt; &#60;img&#62; &#x202e;abc",
    "`code` <b>x</b> `more`",
    "`a <b>",
    "a` <b> ``b`",
    "~~``<b>``",
    "~~~```html\n<script>x</script>\n```\n~~~\n<script>x</script>",
    "```\n<b>\n```\n<img src=x>",
    "````\n```\n<b>\n````\n<img src=x>",
    "- ```\n  <b>\n  ```\n  <img src=x>",
    "> ```\n> <b>\n> ```\n> <img src=x>",
    "```\n<b>",
    "| a | b |\n| --- | --- |\n| `x | <img src=y>` | z |",
    "<!-- x\n\n-->",
    "<?php x ?>",
    "<![CDATA[x]]>",
    "<details><summary>x</summary>",
    "a\u2028<b>",
    "a\r<b>",
    "[^1]\n\n[^1]: <b>",
    "> <iframe src=x>",
    "# <base href=x>",
    "a\\\n<form action=x>",
]


def acting(markdown: str) -> list[str]:
    """Tokens of a page that are more than text and its form."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens: list[Token] = []
    for token in parser.parse(markdown):
        tokens += [token, *(token.children or ())]
    return [token.type for token in tokens if token.type in ACTS]


def outside_code(markdown: str) -> str:
    """A page without its code, where nothing is made a link."""
    return re.sub(r"(?ms)^(`{3,})\n.*?^\1$|(?<![`\\])(`+)(?!`).+?(?<!`)\2(?!`)", "", markdown)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_acts(text: str):
    """Mutations tried: `<`, `[`, a backslash before them, `~`, `://` and `@` left as they are, one at a time."""
    page = inert_markdown(text)
    assert acting(page) == []
    assert BY_ITSELF.search(outside_code(page)) is None


@given(st.lists(st.sampled_from([*HOSTILE, "`", "``", "```", "~~~", "\n", "\n\n", " ", "|", "\\", "    "]), max_size=7))
def test_nothing_acts_in_any_order(parts: list[str]):
    assert acting(inert_markdown("".join(parts))) == []


def test_text_lists_tables_and_code_stay():
    source = (
        "# Title\n\n- **bold** `a < b`\n\n| a | b |\n| --- | --- |\n| `x` | 1 |\n\n```python\nif a < b: pass\n```\n"
    )
    page = inert_markdown(source)
    html = MarkdownIt("commonmark").enable("table").render(page)
    assert "<strong>bold</strong> <code>a &lt; b</code>" in html
    assert "<td><code>x</code></td>" in html
    assert "<pre><code>if a &lt; b: pass\n</code></pre>" in html


def test_what_is_escaped_reads_as_it_was_written():
    source = "see <b> & [x](https://a.example/?a=1&b=2), ana@a.example, \\[y], &amp;, ~~z~~"
    html = MarkdownIt("commonmark").render(inert_markdown(source))
    shown = html.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert shown == f"<p>{source.replace(chr(92), '')}</p>\n"


async def test_prefect_is_given_inert_pages(monkeypatch: pytest.MonkeyPatch):
    """Mutation tried: `publish_artifact` without `inert_markdown`."""
    given_to_prefect: list[dict[str, Any]] = []

    async def keep(**artifact: Any) -> None:
        given_to_prefect.append(artifact)

    monkeypatch.setattr(executor, "acreate_markdown_artifact", keep)
    page = "<img src=https://evil.example/a.png> a\u3164b"
    await PrefectExecutor(WakeupRegistry()).publish_artifact("prd", markdown=page, description=page)
    (artifact,) = given_to_prefect
    assert artifact["key"] == "prd"
    assert artifact["markdown"] == artifact["description"] == inert_markdown(page)
    assert acting(artifact["markdown"]) == []
