"""Login by link: the token that a command mints, and the sessions that a server opens for such tokens.

Both sides know the server's secret, which only the owner of the state folder can read. A token is good once and for
five minutes. It stands in the fragment of a link, which no browser sends anywhere and no preview spends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

TOKEN_SECONDS = 300
SESSION_SECONDS = 12 * 3600
_MOST_SESSIONS = 64
_SECRET_BYTES = 32
_NONCE_BYTES = 12
_MAC_BYTES = 16


def new_secret() -> str:
    """A secret of 256 bits, in letters that an HTTP header may hold."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def mint_token(secret: str, *, clock: Callable[[], float] = time.time) -> str:
    """Mint a login token, `EXPIRY.NONCE.MAC`.

    Args:
        secret: The server's secret.
        clock: The time, in seconds since 1970.
    """
    content = f"{int(clock()) + TOKEN_SECONDS}.{secrets.token_urlsafe(_NONCE_BYTES)}"
    return f"{content}.{_mac(secret, content)}"


@dataclass(frozen=True)
class BrowserSession:
    """A browser's session.

    Attributes:
        cookie: Admits the browser to pages, and is sent by the browser to every port of the same host.
        key: Admits it to everything else. The browser binds it to the server's scheme, host and port.
    """

    cookie: str = field(repr=False)
    key: str = field(repr=False)


class BrowserSessions:
    """Sessions of one server, in memory: they end with it, and after twelve hours."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        """No session yet.

        Args:
            secret: The secret with which tokens are minted.
            clock: The time, in seconds since 1970.
        """
        self._secret, self._clock = secret, clock
        self._spent: dict[str, int] = {}
        self._ends: dict[tuple[str, str], float] = {}

    def open(self, token: str) -> BrowserSession | None:
        """Open a session for a token.

        Returns:
            The session; None if the token is forged, spent or too old. With too many open, the oldest one ends.
        """
        now = self._clock()
        content, _, mac = token.rpartition(".")
        if not token.isascii() or not hmac.compare_digest(mac, _mac(self._secret, content)):
            return None
        expiry = int(content.partition(".")[0])
        self._spent = {spent: until for spent, until in self._spent.items() if until >= now}
        if expiry < now or content in self._spent:
            return None
        self._spent[content] = expiry
        session = BrowserSession(cookie=new_secret(), key=new_secret())
        self._drop_ended(now)
        self._ends[_hash(session.cookie), _hash(session.key)] = now + SESSION_SECONDS
        return session

    def has_cookie(self, cookie: str) -> bool:
        """True if an open session has this cookie."""
        wanted, now = _hash(cookie), self._clock()
        return any(known == wanted and end > now for (known, _), end in self._ends.items())

    def has_key(self, key: str) -> bool:
        """True if an open session has this key."""
        wanted, now = _hash(key), self._clock()
        return any(known == wanted and end > now for (_, known), end in self._ends.items())

    def _drop_ended(self, now: float) -> None:
        ends = {session: end for session, end in self._ends.items() if end > now}
        self._ends = dict(sorted(ends.items(), key=lambda item: item[1])[-_MOST_SESSIONS + 1 :])


def _mac(secret: str, content: str) -> str:
    digest = hmac.new(secret.encode(), b"login:" + content.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:_MAC_BYTES]).decode().rstrip("=")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
