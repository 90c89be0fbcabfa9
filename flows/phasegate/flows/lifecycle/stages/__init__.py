"""Stages of the lifecycle: the agent's part and the code's part of each, made at most once by attempts."""

from phasegate.flows.lifecycle.rollout.migrations import make_migrations
from phasegate.flows.lifecycle.stages.base import require_base
from phasegate.flows.lifecycle.stages.deployment import deploy, draft_release_plan
from phasegate.flows.lifecycle.stages.implementation import change_that_passes
from phasegate.flows.lifecycle.stages.integration import integrate
from phasegate.flows.lifecycle.stages.monitoring import monitor, roll_back_release
from phasegate.flows.lifecycle.stages.prd import draft_prd
from phasegate.flows.lifecycle.stages.testing import author_tests

__all__ = [
    "author_tests",
    "change_that_passes",
    "deploy",
    "draft_prd",
    "draft_release_plan",
    "integrate",
    "make_migrations",
    "monitor",
    "require_base",
    "roll_back_release",
]
