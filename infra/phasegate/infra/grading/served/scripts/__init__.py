"""Scripts that run inside the sandbox, with the standard library alone: recorders of requests, and what replays them.

Sent as text by the modules above. They see nothing of phasegate, and must not know what a difference means.
"""
