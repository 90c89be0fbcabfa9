"""The requests of one thread, each beginning with the one before, until outputs are left out.

The loop keeps one per attempt at work. It knows no provider: that is the client's.
"""

from __future__ import annotations

from collections.abc import Sequence

from phasegate.agents.loop.compaction import shown
from phasegate.agents.loop.state import Said
from phasegate.agents.models.client import ModelClient
from phasegate.agents.models.conversation import ToolSpec
from phasegate.agents.models.wire import Encoder


class Requests:
    """Each message is encoded once."""

    def __init__(self, client: ModelClient, prompt: str, tools: Sequence[ToolSpec], thread: str) -> None:
        """Begin with nothing said."""
        self._client, self._prompt, self._tools, self._thread = client, prompt, tools, thread
        self._encoder, self._encoded, self._compacted = self._begun(), 0, 0

    def body(self, conversation: Sequence[Said], compacted: int) -> bytes:
        """The request for a conversation that has only grown since the last one."""
        if compacted != self._compacted:
            self._encoder, self._encoded, self._compacted = self._begun(), 0, compacted
        for message in shown(conversation, self._encoded, compacted):
            self._encoder.append(message)
        self._encoded = len(conversation)
        return self._encoder.body()

    def _begun(self) -> Encoder:
        return self._client.conversation(self._prompt, self._tools, self._thread)
