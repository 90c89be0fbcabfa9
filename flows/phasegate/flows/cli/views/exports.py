"""Exports of a run: the charts of `phasegate show --charts` and the ticket of `--follow-up`."""

from __future__ import annotations

from pathlib import Path

from phasegate.flows.cli.output import document, say
from phasegate.flows.cli.sanitize import sanitize
from phasegate.flows.views.charts import charts
from phasegate.flows.views.follow_up import follow_up
from phasegate.flows.views.report import RunReport
from phasegate.infra.errors import UsageError


def draw(report: RunReport, folder: Path, *, as_json: bool) -> None:
    """Write a run's charts, and say where they are.

    Raises:
        UsageError: Nothing was measured, or a file cannot be written.

    Effects:
        The folder, and a file per metric; the same report gives the same bytes.
    """
    drawn = charts(report)
    if not drawn:
        raise UsageError(
            f"Nothing of run {report.id} was measured, so there is nothing to draw.",
            remedy="Stage `monitoring` measures once a change is released, and the steps of a release do.",
        )
    files = [folder / name for name in drawn]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, picture in zip(files, drawn.values(), strict=True):
            file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from error
    if as_json:
        document({"run": report.id, "charts": [str(file) for file in files]})
        return
    for file in files:
        say(str(file))


def print_follow_up(report: RunReport, *, as_json: bool) -> None:
    """Print the ticket that a run's incident drafts.

    Raises:
        UsageError: There is none.
    """
    ticket = follow_up(report)
    if not ticket:
        raise UsageError(
            f"Run {report.id} has no incident that drafts a ticket.",
            remedy="One is drafted after a release that broke its service levels was taken back.",
        )
    if as_json:
        document({"run": report.id, "ticket": ticket})
        return
    say(sanitize(ticket).rstrip())
