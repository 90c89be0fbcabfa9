from __future__ import annotations

import json
from typing import Any

import pytest

from shortlinks.api import Api, Request, Response
from shortlinks.store import Store


@pytest.fixture
def api() -> Api:
    return Api(Store(clock=lambda: 1_700_000_000.0))


def create(api: Api, **fields: Any) -> Response:
    return api.respond(Request("POST", "/api/links", json.dumps(fields).encode()))


def get(api: Api, path: str) -> Response:
    return api.respond(Request("GET", path))


def test_it_is_healthy(api: Api) -> None:
    assert get(api, "/healthz").status == 200


def test_a_link_gets_a_code_of_its_own(api: Api) -> None:
    created = create(api, url="https://example.org/a")
    assert created.status == 201
    assert created.body["created_at"] == 1_700_000_000.0
    assert get(api, f"/api/links/{created.body['code']}").body["url"] == "https://example.org/a"


def test_following_a_link_redirects_and_counts(api: Api) -> None:
    create(api, url="https://example.org/menu", code="menu")
    followed = get(api, "/menu")
    assert (followed.status, followed.location) == (302, "https://example.org/menu")
    get(api, "/menu")
    assert get(api, "/api/links/menu").body["hits"] == 2


def test_links_are_listed_by_code(api: Api) -> None:
    for code in ("tea", "menu"):
        create(api, url=f"https://example.org/{code}", code=code)
    assert [link["code"] for link in get(api, "/api/links").body["links"]] == ["menu", "tea"]


def test_a_code_is_taken_once(api: Api) -> None:
    create(api, url="https://example.org/1", code="menu")
    assert create(api, url="https://example.org/2", code="menu").status == 409
    assert get(api, "/api/links/menu").body["url"] == "https://example.org/1"


@pytest.mark.parametrize("path", ["/nowhere", "/api/links/nowhere", "/", "/api"])
def test_what_is_not_there_is_not_found(api: Api, path: str) -> None:
    assert get(api, path).status == 404


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"url": "example.org"},
        {"url": "ftp://example.org/"},
        {"url": 7},
        {"url": "https://example.org/", "code": "api"},
        {"url": "https://example.org/", "code": "No Spaces"},
    ],
)
def test_a_bad_link_is_refused(api: Api, fields: dict[str, Any]) -> None:
    assert create(api, **fields).status == 400
    assert get(api, "/api/links").body["links"] == []


def test_a_body_that_is_not_json_is_refused(api: Api) -> None:
    assert api.respond(Request("POST", "/api/links", b"{")).status == 400
