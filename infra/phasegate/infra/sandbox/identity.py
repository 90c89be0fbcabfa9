"""Names under which a command runs, whether it is the first process, and what it may alter for itself alone.

Handed to a sandbox by grading, so that code under test cannot tell a graded process from a release's by them. Files
keep their owner: the user inside stands for the one outside. It must not know what the command is for.
"""

from __future__ import annotations

import grp
import os
import pwd
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from phasegate.infra.sandbox.overlay import Mount

_ACCOUNTS = ("www-data", "daemon", "games", "mail", "news", "nobody", "bin", "backup")
"""Accounts that most systems have."""
_HOME_FIELD = 5
"""Of an account's line. Source: passwd(5)."""
_MANAGER = "/run/systemd/system"
"""Folder that is there where systemd is process 1. Source: sd_booted(3)."""
_HOSTS, _ACCOUNT_FILE = Path("/etc/hosts"), Path("/etc/passwd")


@dataclass(frozen=True)
class Identity:
    """Identity of a command in its sandbox."""

    host: str
    """Name of the machine."""
    account: str
    """Name of the user."""
    user: int
    """Number of the user."""
    group: int
    """Number of the user's group."""
    is_first: bool = False
    """True to run the command as process 1, which then has to wait for orphans."""
    home: Path | None = None
    """Home of the user as accounts tell it; `None`: the system's."""
    tools: Mount | None = None
    """Folder of the system beneath what the command writes there; no other process sees what it writes."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that a service manager sets for it."""
        return {"USER": self.account, "LOGNAME": self.account, "INVOCATION_ID": secrets.token_hex(16)}

    def arguments(self, scratch: Path) -> Iterator[str]:
        """Arguments of bwrap.

        Args:
            scratch: An empty folder for files that are shown instead of the system's.

        Effects: writes these files.
        """
        yield from ("--hostname", self.host, "--uid", str(self.user), "--gid", str(self.group))
        hosts = _HOSTS.read_text(errors="replace") if _HOSTS.is_file() else ""
        texts = {
            _HOSTS: f"{hosts.rstrip()}\n127.0.1.1 {self.host}\n",
            Path("/etc/hostname"): f"{self.host}\n",
            Path("/etc/machine-id"): f"{secrets.token_hex(16)}\n",
        }
        if self.home and _ACCOUNT_FILE.is_file():
            texts[_ACCOUNT_FILE] = self._accounts(_ACCOUNT_FILE.read_text(errors="replace"))
        for place, text in texts.items():
            if place.is_file() and not place.is_symlink():
                own = scratch / place.name
                own.write_text(text)
                yield from ("--ro-bind", str(own), str(place))
        if self.is_first:
            yield from ("--dir", _MANAGER)
        if self.home:
            yield from ("--dir", str(self.home))
        if self.tools:
            yield from ("--bind", str(self.tools.mountpoint), str(self.tools.beneath[0]))

    def _accounts(self, accounts: str) -> str:
        """Accounts of the system, with the user's own home."""
        lines = [line.split(":") for line in accounts.splitlines()]
        for words in lines:
            if words[0] == self.account and len(words) > _HOME_FIELD:
                words[_HOME_FIELD] = str(self.home)
        return "".join(":".join(words) + "\n" for words in lines)


def draw_identity(host: str, *, is_first: bool, is_root: bool = False) -> Identity:
    """Draw an identity that differs from the caller's.

    Args:
        host: A word to name the machine with.
        is_first: As in `Identity`.
        is_root: True for the name and the number of root, which gives no right that the caller does not have.
    """
    name = f"{host}-{secrets.token_hex(2)}"
    if is_root:
        return Identity(name, "root", 0, 0, is_first)
    groups = {group.gr_gid for group in grp.getgrall()}
    accounts = [
        (account.pw_name, account.pw_uid, account.pw_gid)
        for account in pwd.getpwall()
        if account.pw_name in _ACCOUNTS and account.pw_uid != os.getuid() and account.pw_gid in groups
    ]
    account, user, group = secrets.choice(accounts or [("app", os.getuid(), os.getgid())])
    return Identity(name, account, user, group, is_first)
