"""`[retention]`: how long what a run leaves behind is kept.

Read by `model`. A run's folders go when it ends, whatever is said here. It must not know who removes what.
"""

from __future__ import annotations

from datetime import timedelta

from phasegate.infra.policy.base import ByteSize, Duration, PolicyModel


class RetentionPolicy(PolicyModel):
    """`[retention]`: how long what a run leaves behind is kept."""

    refs: Duration = timedelta(days=90)
    """Time that a run's branch, checkpoints and other refs are kept once it has ended; its ledger stays."""
    layers: Duration = timedelta(days=14)
    """Time that the files that `project.setup` made are kept after grading last used them."""
    layer_bytes: ByteSize = 5 * 1024**3
    """Room that such files of one repository may take, in bytes (or `5GiB`); those used last are kept."""
