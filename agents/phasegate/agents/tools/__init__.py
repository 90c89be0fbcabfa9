"""Tools of the agents: one vocabulary for all stages, of which each stage gets a part.

phasegate's own process reads and writes files, inside the agent's folder only. Commands run in the sandbox.
"""
