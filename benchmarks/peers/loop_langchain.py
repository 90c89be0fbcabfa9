"""A peer: LangChain's `create_agent` with its own OpenAI client and LangGraph's SqliteSaver, synced at every step."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver


async def main(url: str, turns: int, folder: Path) -> None:
    """Work through one trajectory."""

    @tool
    def read_file(path: str) -> str:
        """Read a text file."""
        return (folder / "work" / path).read_text()

    @tool(return_direct=True)
    def finish(summary: str) -> str:
        """End the work."""
        return summary

    model = ChatOpenAI(model="loopback", base_url=f"{url}/v1", api_key="k", max_retries=0)
    async with AsyncSqliteSaver.from_conn_string(str(folder / "threads.db")) as saver:
        agent = create_agent(model, [read_file, finish], system_prompt="You implement.", checkpointer=saver)
        config = {"configurable": {"thread_id": "one"}, "recursion_limit": 10 * turns + 10}
        said = {"messages": [{"role": "user", "content": "Read the notes."}]}
        await agent.ainvoke(said, config, durability="sync")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
