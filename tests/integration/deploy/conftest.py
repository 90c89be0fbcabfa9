"""A namespace, and a cluster that knows more than the built-in kinds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.deploy.in_namespace import Namespace
from tests.kubernetes import KubernetesServer


@pytest.fixture
def namespace(kubernetes: KubernetesServer) -> Iterator[Namespace]:
    with kubernetes.http() as http:
        yield Namespace(kubernetes, http)
