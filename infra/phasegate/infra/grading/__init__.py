"""Grading: code decides from sealed tests, which the implementer never saw, if a change does what was asked for.

Called by the testing stage. It must not know who wrote the tests or the change, or what happens to the verdict.
"""
