"""Read models of the ledger, for every door: progress, reports, charts and warnings of agents.

They show and decide nothing. A second door, such as a console, adds no copy of them.
"""
