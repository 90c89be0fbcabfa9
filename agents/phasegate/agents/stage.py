"""What the five stage agents have in common: a prompt beside the code, a draft to hand in, a part of the tools.

Each stage's package defines its `AGENT` and says in `brief` what one attempt is about; `flows` sets them to work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.policy.model import StageName


class Draft(BaseModel):
    """What an agent hands in. Keys it was not asked for are dropped: models add them freely."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


AnyDraft = TypeVar("AnyDraft", bound=Draft)


@dataclass(frozen=True)
class StageAgent(Generic[AnyDraft]):
    """One stage's agent.

    Attributes:
        stage: The stage it works in.
        draft: What it hands in.
        tools: Its part of the vocabulary, `finish` and `ask` aside.
        asks: Whether it may ask the person in charge.
        instructions: The file beside its code that holds its standing instructions.
    """

    stage: StageName
    draft: type[AnyDraft]
    tools: tuple[str, ...]
    asks: bool = False
    instructions: str = "prompt.md"

    @property
    def prompt(self) -> str:
        """Its standing instructions, from the file beside its code."""
        return files(f"phasegate.agents.{self.stage}").joinpath(self.instructions).read_text(encoding="utf-8")

    @property
    def prompt_digest(self) -> str:
        """The digest of all that is fixed about it; part of every attempt it makes."""
        fixed = {"prompt": self.prompt, "draft": self.draft.model_json_schema(), "tools": self.tools, "asks": self.asks}
        return sha256(canonical_json(fixed))


def section(title: str, body: str) -> str:
    """One part of a brief, fenced so that what it quotes is seen as a quotation: it cannot end the fence itself."""
    inside = re.sub(rf"<(?=\s*/\s*{title}\b)", "‹", body.strip(), flags=re.IGNORECASE)
    return f"<{title}>\n{inside}\n</{title}>\n"


def bullets(title: str, lines: tuple[str, ...]) -> str:
    """A Markdown heading with a list; nothing when there is none."""
    return f"\n### {title}\n\n" + "".join(f"- {line}\n" for line in lines) if lines else ""
