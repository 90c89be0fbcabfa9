"""Language models: one conversation format, three wire protocols, one client.

The agent loop calls `client.open_client` and keeps `conversation` messages in its state. Flows ask `keys` for
credentials before a run starts, and `prices` for the cost of an exchange.
"""
