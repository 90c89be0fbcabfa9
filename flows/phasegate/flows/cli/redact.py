"""Redaction of a person's words before they reach the ledger or a model.

Called by `steer`, `answer` and the decisions, for their note. The ledger would keep a secret for good, and a provider
would receive it. So the secret is masked first, and the person is told.
"""

from __future__ import annotations

import os

import click

from phasegate.infra.secrets import Secrets


def without_secrets(text: str) -> str:
    """Mask all that looks like a secret in a text, and say so on standard error."""
    masked = Secrets.of(os.environ).mask(text)
    if masked.leaks:
        secrets = ", ".join(f"{leak.kind} ({leak.digest})" for leak in masked.leaks)
        click.echo(f"What you said held what looks like a secret, which is masked: {secrets}.", err=True)
    return masked.text
