"""Tickets from GitHub issues, on github.com and on GitHub Enterprise, by REST.

Called by `read` with an address. The token comes from the environment, goes to GitHub only, and no further than here.

Source: https://docs.github.com/en/rest/issues/issues#get-an-issue
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

import httpx
from pydantic import BaseModel

from phasegate.infra.documents.json_text import read_json
from phasegate.infra.errors import TicketError
from phasegate.infra.tickets.ticket import MAX_BYTES, Ticket

_TIMEOUT_SECONDS = 20.0
_ISSUE_PATH = re.compile(r"/(?P<owner>[\w.-]+)/(?P<repository>[\w.-]+)/(?P<kind>issues|pull)/(?P<number>[0-9]{1,18})/?")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_TOKEN_REMEDY = "Set GITHUB_TOKEN (or GH_TOKEN) to a token that may read the repository's issues."  # noqa: S105  a text


@dataclass(frozen=True)
class IssueAddress:
    """Address of an issue."""

    url: str
    host: str
    api: str
    owner: str
    repository: str
    number: int

    @property
    def key(self) -> str:
        """`owner/repo#12`."""
        return f"{self.owner}/{self.repository}#{self.number}"


class _Named(BaseModel):
    name: str = ""


class _User(BaseModel):
    login: str = ""


class _Issue(BaseModel):
    title: str
    body: str | None = None
    html_url: str = ""
    labels: tuple[_Named | str, ...] = ()
    user: _User | None = None
    pull_request: dict[str, object] | None = None
    id: int = 0
    node_id: str = ""
    state: str = ""
    updated_at: str = ""


def read_issue(url: str, *, environment: Mapping[str, str], http: httpx.Client | None) -> Ticket:
    """Fetch an issue.

    Args:
        url: As the browser shows it: `https://HOST/OWNER/REPO/issues/N`.
        environment: GITHUB_TOKEN or GH_TOKEN (a public issue needs none); GITHUB_API_URL where the API is not at the
            place the host implies; GH_HOST to name the Enterprise host the token is for.
        http: The client to use; None: one of its own for this call.

    Raises:
        TicketError: The address is no issue's, or is a pull request's; GitHub does not answer in time, does not know
            the issue, refuses the token, limits the rate, or says something that is no issue.
    """
    address = issue_address(url, environment)
    client = http or httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=address.host not in _LOOPBACK)
    try:
        response = client.get(
            f"{address.api}/repos/{address.owner}/{address.repository}/issues/{address.number}",
            headers=_headers(address, environment),
            follow_redirects=True,  # GitHub answers 301 for a repository that was renamed
        )
    except httpx.TimeoutException as error:
        raise TicketError(f"{address.host} did not answer in time about {url}", remedy="Try again.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TicketError(
            f"{address.host} cannot be reached about {url}: {error}",
            remedy="Check the address and the network, or save the ticket as a file and pass that.",
        ) from error
    finally:
        if http is None:
            client.close()
    _require_success(response, address, has_token="Authorization" in response.request.headers)
    return _ticket(response, address)


def issue_address(url: str, environment: Mapping[str, str]) -> IssueAddress:
    """Take an issue's address apart, and find the API that serves it.

    Raises:
        TicketError: It is no issue's address.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # half of a bracketed address
        parts = None
    match = None if parts is None else _ISSUE_PATH.fullmatch(parts.path)
    if parts is None or match is None or not parts.hostname:
        raise TicketError(
            f"This is not the address of a GitHub issue: {url}",
            remedy="Pass it as the browser shows it, like https://github.com/OWNER/REPO/issues/12, or a file.",
        )
    if match["kind"] == "pull":
        raise _pull_request(url)
    return IssueAddress(
        url=url,
        host=parts.hostname,
        api=environment.get("GITHUB_API_URL", "").rstrip("/") or _api(parts),
        owner=match["owner"],
        repository=match["repository"],
        number=int(match["number"]),
    )


def _api(parts: SplitResult) -> str:
    if parts.hostname in {"github.com", "www.github.com"}:
        return "https://api.github.com"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/api/v3"


def _headers(address: IssueAddress, environment: Mapping[str, str]) -> dict[str, str]:
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    token = environment.get("GITHUB_TOKEN") or environment.get("GH_TOKEN")
    if token and _is_ours(address, environment):
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _is_ours(address: IssueAddress, environment: Mapping[str, str]) -> bool:
    """True if the token is meant for that host: an address that a person pasted must not carry it to a stranger."""
    known = {"github.com", "www.github.com", environment.get("GH_HOST"), *_LOOPBACK}
    return address.host in known or bool(environment.get("GITHUB_API_URL"))


def _require_success(response: httpx.Response, address: IssueAddress, *, has_token: bool) -> None:
    if response.is_success:
        return
    status, name = response.status_code, f"{address.key} on {address.host}"
    token_remedy = _TOKEN_REMEDY
    if address.host not in {"github.com", *_LOOPBACK} and not has_token:
        token_remedy += f" For {address.host} also set GH_HOST={address.host}, so that the token goes there."
    limited = status in {403, 429} and (
        response.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in response.headers
    )
    if limited:
        raise TicketError(
            f"GitHub limits how often it may be asked ({status}){_reset(response)}",
            remedy="Wait for it." if has_token else f"Wait for it, or: {_TOKEN_REMEDY}",
        )
    messages = {
        401: (f"GitHub does not accept the token for {name} (401)", token_remedy),
        403: (f"GitHub does not allow reading {name} (403)", token_remedy),
        404: (f"GitHub knows no issue {name}, or the token may not see it (404)", token_remedy),
        410: (f"The issue {name} was deleted, or the repository has no issues (410)", "Name another ticket."),
    }
    message, remedy = messages.get(status, (f"GitHub answered {status} about {name}", "Try again in a moment."))
    raise TicketError(message, remedy=remedy, status=status)


def _reset(response: httpx.Response) -> str:
    at = response.headers.get("x-ratelimit-reset", "")
    return f", until {datetime.fromtimestamp(int(at), UTC):%H:%M:%S} UTC" if at.isdecimal() and len(at) < 12 else ""


def _ticket(response: httpx.Response, address: IssueAddress) -> Ticket:
    if len(response.content) > 2 * MAX_BYTES:  # JSON may spell a byte with more than one
        raise TicketError(f"The issue {address.key} is over 1 MiB.", remedy="Name a shorter ticket.")
    try:
        issue = _Issue.model_validate(read_json(response.content, f"the answer of {address.host}"))
    except ValueError as error:
        raise TicketError(
            f"{address.host} answered with something that is no issue.",
            remedy="Check the address; for GitHub Enterprise, GITHUB_API_URL names its API.",
        ) from error
    if issue.pull_request is not None:
        raise _pull_request(address.url)
    if not issue.title.strip():
        raise TicketError(f"The issue {address.key} says nothing.", remedy="Name another ticket.")
    names = (label if isinstance(label, str) else label.name for label in issue.labels)
    native = {"id": issue.id, "node_id": issue.node_id, "state": issue.state, "updated_at": issue.updated_at}
    return Ticket(
        title=" ".join(issue.title.split()),
        body=(issue.body or "").replace("\r\n", "\n").strip(),
        key=address.key,
        url=issue.html_url or address.url,
        labels=tuple(name for name in names if name),
        author=issue.user.login if issue.user else "",
        source="github",
        native_ref=json.dumps({"api": address.api, "number": address.number, **native}),
    )


def _pull_request(url: str) -> TicketError:
    return TicketError(
        f"This is a pull request, not an issue: {url}", remedy="A run starts from an issue: pass the one it closes."
    )
