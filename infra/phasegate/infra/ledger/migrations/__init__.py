"""Migrations of the ledger's own schema, one revision a file."""
