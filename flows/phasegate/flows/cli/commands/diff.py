"""`phasegate diff`: a run's change of the code."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option, pager_option, run_argument


@click.command(epilog=example("phasegate diff latest", "phasegate diff run-5kq | git apply"))
@run_argument
@click.option("--as-made", is_flag=True, help="As the agent made it: with its own edits of tests, without sealed ones.")
@click.option(
    "--keep-tests", is_flag=True, help="With the tests written for this run, as `approve --keep-tests` has it."
)
@pager_option
@json_option
def diff(run: str, as_json: bool, no_pager: bool, as_made: bool, keep_tests: bool) -> None:
    """Print what a run changed in the code.

    A unified diff against the commit the run started from. Once the change is graded: what is released of it, sealed
    tests included. While the implementation works: its last checkpoint. Piped, it is the exact patch; on a terminal it
    is coloured, with control characters shown. RUN is an id, the beginning of one, or "latest".
    """
    import sys

    from phasegate.flows.cli.output import document, show_page
    from phasegate.flows.cli.session import opened
    from phasegate.flows.cli.views.diff import coloured, read_change

    with opened() as session:
        change = read_change(session.ledger, session.run(run), as_made=as_made, with_tests=keep_tests)
    if as_json:
        document(change.document())
    elif sys.stdout.isatty():
        show_page(coloured(change.text), pager=not no_pager)
    else:
        sys.stdout.buffer.write(change.patch)
