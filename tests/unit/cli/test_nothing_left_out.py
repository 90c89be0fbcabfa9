"""P16: the page of a gate leaves out nothing of what is decided, however it is marked up."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from phasegate.flows.cli.views.plain_markdown import PlainMarkdown


@pytest.mark.parametrize(
    "source",
    [
        "<!-- marker -->",
        "text\n\n<div>marker</div>\n\nmore",
        "a <b title='marker'>b</b> c",
        "[marker]: http://example.org",
        "[text](http://example.org 'marker')",
        "![marker](x.png)",
        "![x](marker.png)",
        "<script>marker</script>",
        "~~~\nmarker",
        "```marker\ncode",
        "- <!-- marker -->\n- <p>x</p>",
        "| a |\n| --- |\n| <i>marker</i> |",
        "<?marker ?>",
        "<![CDATA[marker]]>",
        "<marker@example.org>",
        "[x]: <> 'marker'",
    ],
)
def test_all_markup_is_shown_as_it_is_written(source: str) -> None:
    """Mutation tried: the source rendered as it is; most of these markers are then missing."""
    page = io.StringIO()
    Console(file=page, width=100).print(PlainMarkdown(source))
    assert "marker" in page.getvalue()
