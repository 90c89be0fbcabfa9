"""Whether a change does what was asked for: decided by code, from tests the implementer never saw.

Called by the testing stage. It must not know who wrote the tests or the change, or what happens to the verdict.
"""

from phasegate.infra.grading.amendments import (
    AmendedTest,
    Amendment,
    added_problems,
    amendment_problems,
    request_problems,
)
from phasegate.infra.grading.branch_move import BranchMove
from phasegate.infra.grading.carry_over import differences
from phasegate.infra.grading.evidence import Counts, CriterionResult, Evidence, Finding, Regression
from phasegate.infra.grading.grade import CriterionLike, grade
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.workspace.change_set import AmendmentRequest

__all__ = [
    "AmendedTest",
    "Amendment",
    "AmendmentRequest",
    "BranchMove",
    "Counts",
    "CriterionLike",
    "CriterionResult",
    "Evidence",
    "Finding",
    "Regression",
    "SealedFile",
    "SealedTests",
    "added_problems",
    "amendment_problems",
    "differences",
    "grade",
    "request_problems",
]
