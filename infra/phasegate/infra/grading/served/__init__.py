"""The served candidate: a service started as `[deploy] start` says, and asked what the sealed tests ask.

Open `served_check` first. Requests are recorded while the tests run, or read off their text, and sent to base and
candidate in the sandbox, where nothing watches and where a test runner seems to be near.
"""
