"""Supervisor of services on this machine, and its client. Imports nothing: the supervisor is to stay small."""
