"""The machine and the repository of the lifecycle's own tests."""

from __future__ import annotations

from tests.acceptance.lifecycle.conftest import machine, project

__all__ = ["machine", "project"]
