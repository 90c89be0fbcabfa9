"""Signs that a command tried to reach what no agent needs, as far as its text and its end tell.

Called by the agents' `run` tool after a command; its findings are recorded for people. It decides nothing: the
sandbox has held either way. It cannot see what a program keeps to itself; the command itself is always recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from phasegate.infra.sandbox.port import CommandResult

_SHOWN = 120
_AT_MOST = 12


@dataclass(frozen=True)
class Sign:
    """Sign of an attempt.

    Attributes:
        kind: What was reached for.
        what: The words that say so.
        seen: Where: in the `command`, in a `file` it names, in its `output`, in the `workspace` that it left, or as a
            `limit` it ran into.
    """

    kind: str
    what: str
    seen: str


_TARGETS = {
    "credentials": r"\.ssh\b|\bid_(rsa|ed25519|ecdsa)\b|\.gnupg\b|\.git-credentials|\.netrc\b|\.aws\b|\.kube\b"
    r"|\.docker/config|\.npmrc\b|\.pypirc\b|SSH_AUTH_SOCK|GPG_AGENT|/etc/(g?shadow|sudoers|ssl/private)"
    r"|git credential\b|_(KEY|TOKEN|SECRET|PASSWORD)\b|(^|[;&|]\s*)(printenv|env\s*([|;>&]|$))",
    "homes": r"(?<![\w.])(/root|/home)(/|\b)|~root\b|os\.path\.expanduser|Path\.home\(\)|getpw(nam|uid)",
    "other processes": r"/proc/([0-9]+|\*|\$PPID|\[)|\bptrace\b|PTRACE_|process_vm_|\bgdb\b|\bstrace\b"
    r"|\b(kill|os\.kill)\b[^;&|\n]{0,200}[\s(]-?(1|[0-9]{2,})\b|\b(pkill|killall)\b"
    r"|/proc\b[^\n]{0,200}environ|listdir\(.?/proc",
    "kernel": r"/proc/(sys|kcore|kmsg|sysrq)|/sys(/|\b)|/dev/(mem|kmem|kmsg|port|sd|vd|nvme|loop|kvm|fuse|tty)"
    r"|\b(mknod|mount|umount|pivot_root|chroot|unshare|nsenter|setns|insmod|modprobe|sysctl|bpf|keyctl|losetup)\b"
    r"|TIOCSTI|\bCLONE_NEW|\bsetuid\b|\bchmod\b[^\n]{0,200}(\+s|[2467][0-7]{3})|\bcgroup|release_agent|core_pattern",
    "phasegate": r"\bledger\.db|\bengine\.(json|sock)|\bphasegate\b|\bPREFECT_|prefect\.db|:4200\b|/api/flow_runs",
    "network": r"\b(curl|wget|nc|ncat|telnet|ftp|ssh|scp|sftp|rsync|dig|nslookup|host|ping|socat)\b\s|/dev/(tcp|udp)/"
    r"|\bsocket\b|https?://|\bconnect\(|urllib|\brequests\.|getaddrinfo|gethostby|169\.254\.169\.254"
    r"|metadata\.google|fetch\(",
    "services": r"docker\.sock|podman\.sock|containerd|/run/(dbus|user|systemd)|DBUS_|dbus-|AF_UNIX|X11-unix"
    r"|systemctl|/var/run/",
    "other workspaces": r"workspaces?/|(^|[\s'\"=(])\.\./\.\.|/tmp/\.\.",
    "git": r"core\.(hooksPath|fsmonitor|sshCommand|pager|editor|askPass|gitProxy|attributesFile)|\.git/|diff\.external"
    r"|textconv|filter\.|credential\.helper|include(If)?\.|alias\.|gitattributes|update-ref|GIT_(DIR|CONFIG|EXEC|SSH)"
    r"|uploadpack|protocol\.|submodule|git\s+(push|config|update-ref|worktree|remote|fetch|clone)|\.git\b(?!ignore)",
    "processes left behind": r"\bnohup\b|\bsetsid\b|\bdisown\b|daemon|os\.fork\(\)|start_new_session",
}
_REFUSALS = {
    "network": r"Network is unreachable|Could not resolve|Name or service not known|failure in name resolution"
    r"|getaddrinfo|ENOTFOUND|ENETUNREACH|EAI_AGAIN|Connection refused|No route to host",
    "kernel": r"Operation not permitted|Read-only file system|EPERM|EROFS|must be superuser",
    "limit": r"MemoryError|Cannot allocate memory|No space left on device|Too many open files|File too large"
    r"|Resource temporarily unavailable|out of memory|ENOSPC|EMFILE|File size limit exceeded|Cannot fork",
}
_COMPILED_TARGETS = {kind: re.compile(pattern) for kind, pattern in _TARGETS.items()}
_COMPILED_REFUSALS = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _REFUSALS.items()}


def signs_in(
    command: str, result: CommandResult, *, files: Iterable[str] = (), sensitive_words: Iterable[str] = ()
) -> tuple[Sign, ...]:
    """Find signs in a command's text, in the files it names and in its end; at most one per kind and place.

    Args:
        command: Shell text.
        result: How it ended.
        files: The text of files of the workspace that the command names.
        sensitive_words: Further words that no command has reason to name, such as phasegate's own folder.
    """
    signs = [*_named(command, "command", tuple(sensitive_words))]
    for text in files:
        signs += _named(text, "file", tuple(sensitive_words))
    signs += _ended(result)
    return tuple(dict.fromkeys(signs))[:_AT_MOST]


def _named(text: str, seen: str, sensitive_words: tuple[str, ...]) -> Iterator[Sign]:
    for word in sensitive_words:
        if word in text:
            yield Sign("phasegate", word, seen)
    for kind, pattern in _COMPILED_TARGETS.items():
        if match := pattern.search(text):
            yield Sign(kind, match[0].strip()[:_SHOWN], seen)


def _ended(result: CommandResult) -> Iterator[Sign]:
    if result.stopped:
        yield Sign("limit", result.stopped, "limit")
    if result.timed_out:
        yield Sign("limit", "time was up", "limit")
    for note in result.mended:
        yield Sign("kernel", note[:_SHOWN], "workspace")
    if result.cut:
        yield Sign("limit", "more output than is kept", "limit")
    for kind, pattern in _COMPILED_REFUSALS.items():
        if match := pattern.search(result.output):
            yield Sign(kind, match[0][:_SHOWN], "output")
