"""A team's own commands, as target `command` calls them: a file stands for the machines they release to.

Commit `sick` does not start, `sick-in-place` does not take over, `liar` says it does and does not,
and gets no share either.
"""

import json
import os
import sys
from pathlib import Path

told = {name.removeprefix("PHASEGATE_").lower(): value for name, value in os.environ.items() if "PHASEGATE_" in name}
action, release, previous = told["action"], told["release_id"], told["previous_id"]
world = Path(os.environ["WORLD"])
found = json.loads(world.read_text()) if world.exists() else {"current": None, "alive": False, "candidates": []}
with world.with_name("calls").open("a") as calls:
    calls.write(json.dumps({**told, "cwd": str(Path.cwd())}) + "\n")
sys.stderr.write(f"{action} {release}\n")
if action == "deploy":
    if told["commit"] == "sick":
        sys.exit("it does not start")
    found["candidates"].append(release)
elif action == "weight":
    if told["commit"] != "liar":
        found["weight"] = int(told["weight"])
elif action == "promote":
    found["weight"] = 0
    found["candidates"].remove(release)
    if told["commit"] == "sick-in-place":
        found["current"], found["alive"] = None, False
    elif told["commit"] != "liar":
        found["current"], found["alive"] = release, True
elif action == "rollback":
    found["weight"] = 0
    found["candidates"] = [one for one in found["candidates"] if one != release]
    found["current"], found["alive"] = previous or None, bool(previous)
elif action == "stop":
    found["alive"] = False
if action != "status":
    half = world.with_name(f"{world.name}.half")  # a killed command leaves the old file or the new one
    half.write_text(json.dumps(found))
    half.replace(world)
json.dump({**found, "url": f"http://shop.example/{release if action == 'deploy' else ''}"}, sys.stdout)
