"""Stage agent: the parts that all five share, which are a prompt file, a draft type and a set of tools.

Each stage's package defines its `AGENT` and writes the task of one attempt in `brief`; `flows` runs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import ConfigDict

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.described import DescribedModel

if TYPE_CHECKING:
    from phasegate.infra.policy.model import StageName


class Draft(DescribedModel):
    """Result that an agent hands in. Keys it was not asked for are dropped: models add them freely."""

    model_config = ConfigDict(frozen=True, extra="ignore")


AnyDraft = TypeVar("AnyDraft", bound=Draft)


@dataclass(frozen=True)
class StageAgent(Generic[AnyDraft]):
    """The agent of one stage.

    Attributes:
        stage: The stage it works in.
        draft: The type of its draft.
        tools: Names of its tools, without `finish` and `ask`.
        asks: True if it may ask the person in charge.
        instructions: The file with its standing instructions, in the folder of its code.
    """

    stage: StageName
    draft: type[AnyDraft]
    tools: tuple[str, ...]
    asks: bool = False
    instructions: str = "prompt.md"

    @property
    def prompt(self) -> str:
        """Its standing instructions, from the file in the folder of its code."""
        return files(f"phasegate.agents.{self.stage}").joinpath(self.instructions).read_text(encoding="utf-8")

    @property
    def prompt_digest(self) -> str:
        """The digest of all that is fixed about it; part of every attempt it makes."""
        fixed = {"prompt": self.prompt, "draft": self.draft.model_json_schema(), "tools": self.tools, "asks": self.asks}
        return sha256(canonical_json(fixed))


def section(title: str, body: str) -> str:
    """Write a part of a brief as a fenced quotation, which the quoted text cannot end."""
    inside = re.sub(rf"<(?=\s*/\s*{title}\b)", "‹", body.strip(), flags=re.IGNORECASE)
    return f"<{title}>\n{inside}\n</{title}>\n"


def bullets(title: str, lines: tuple[str, ...]) -> str:
    """Write a Markdown heading with a list, or nothing if the list is empty."""
    return f"\n### {title}\n\n" + "".join(f"- {line}\n" for line in lines) if lines else ""
