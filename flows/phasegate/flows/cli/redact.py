"""What a person says to an agent, on its way to the ledger: without the secrets it may hold.

Called by the commands whose words reach a model: `steer`, `answer`, and a decision's note. A secret said by mistake
would be kept in the ledger for good and sent to a provider; so it is masked before either, and the person told.
"""

from __future__ import annotations

import os

import click

from phasegate.infra.secrets import Secrets


def without_secrets(text: str) -> str:
    """The text with what looks like a secret masked; says so on standard error."""
    masked = Secrets.of(os.environ).mask(text)
    if masked.leaks:
        found = ", ".join(f"{leak.kind} ({leak.digest})" for leak in masked.leaks)
        click.echo(f"What you said held what looks like a secret, which is masked: {found}.", err=True)
    return masked.text
