"""A peer: mini-swe-agent with its LiteLLM model, its trajectory saved at every step; commands are not run but read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"MSWEA_SILENT_STARTUP": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_API_KEY": "k"}

from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.exceptions import Submitted
from minisweagent.models.litellm_model import LitellmModel


class _Reading(LocalEnvironment):
    """Does for `cat` what the other contenders' tool does, without a shell."""

    def execute(self, action: dict[str, Any], cwd: str = "", *, timeout: int | None = None) -> dict[str, Any]:
        words = str(action["command"]).split()
        if words[0] == "submit":
            raise Submitted({"role": "exit", "content": "", "extra": {"exit_status": "Submitted", "submission": ""}})
        return {"output": Path(self.config.cwd, words[1]).read_text(), "returncode": 0, "exception_info": ""}


def main(url: str, folder: Path) -> None:
    """Work through one trajectory."""
    model = LitellmModel(
        model_name="openai/loopback", cost_tracking="ignore_errors", model_kwargs={"api_base": f"{url}/v1"}
    )
    agent = DefaultAgent(
        model,
        _Reading(cwd=str(folder / "work")),
        system_template="You implement.",
        instance_template="{{task}}",
        cost_limit=0,
        output_path=folder / "trajectory.json",
    )
    agent.run("Read the notes.")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[3]))
