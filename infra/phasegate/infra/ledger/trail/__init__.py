"""Audit of the ledger: its chain, its signatures, and the decisions it vouches for."""
