"""Plain-process execution of Python tests: modules that are sent into the sandbox as one script.

Sent by `unwatched`. They use the standard library alone, run on Python 3.8 and later, and see nothing of phasegate:
their imports of each other are taken out when they are joined. They must not know what a difference means.
"""
