"""What the service answers, without any socket."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from shortlinks.store import CodeTaken, Link, Store, UnknownCode

CODE = re.compile(r"[a-z0-9][a-z0-9-]{1,31}")
RESERVED = {"api", "healthz"}


@dataclass(frozen=True)
class Request:
    """One HTTP request, with the address it came from."""

    method: str
    path: str
    body: bytes = b""
    client: str = "127.0.0.1"


@dataclass(frozen=True)
class Response:
    """One HTTP answer; a redirect has a location."""

    status: int
    body: Any
    location: str | None = None


class BadRequest(ValueError):
    """The request's body does not hold; the message goes to the client."""


class Api:
    """The service's answers over a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def respond(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return self._route(request)
        except BadRequest as error:
            return Response(400, {"error": str(error)})
        except UnknownCode as error:
            return Response(404, {"error": f"no link has the code {error}"})
        except CodeTaken as error:
            return Response(409, {"error": f"the code {error} is taken"})

    def _route(self, request: Request) -> Response:
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["healthz"]:
                return Response(200, {"status": "ok"})
            case "GET", ["api", "links"]:
                return Response(200, {"links": [shown(link) for link in self._store.links()]})
            case "POST", ["api", "links"]:
                return self._create(request.body)
            case "GET", ["api", "links", code]:
                return Response(200, shown(self._store.find(code)))
            case "GET", [code] if code:
                link = self._store.follow(code)
                return Response(302, shown(link), location=link.url)
            case _:
                return Response(404, {"error": "no such page"})

    def _create(self, body: bytes) -> Response:
        fields = parse(body)
        link = self._store.add(url=valid_url(fields), code=valid_code(fields))
        return Response(201, shown(link))


def shown(link: Link) -> dict[str, Any]:
    """The link as clients see it."""
    return asdict(link)


def parse(body: bytes) -> dict[str, Any]:
    """The body's JSON object."""
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise BadRequest("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise BadRequest("the body is not a JSON object")
    return fields


def valid_url(fields: dict[str, Any]) -> str:
    """The `url` field: absolute, http or https."""
    url = fields.get("url")
    if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
        raise BadRequest("url must be an absolute http or https address")
    return url


def valid_code(fields: dict[str, Any]) -> str | None:
    """The optional `code` field."""
    code = fields.get("code")
    if code is None:
        return None
    if not isinstance(code, str) or not CODE.fullmatch(code) or code in RESERVED:
        raise BadRequest("code must be 2 to 32 lower-case letters, digits or hyphens, and not a reserved word")
    return code
