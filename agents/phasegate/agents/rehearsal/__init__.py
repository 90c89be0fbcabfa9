"""Rehearsal: a loopback server that answers like a model provider, from a script.

Flows read the script (`script_file`) before a run starts and keep its text with the run; the engine serves it
(`server`), and the real model clients talk to it.
"""
