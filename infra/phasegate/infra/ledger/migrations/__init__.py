"""How the ledger's stored format came to be what it is, one revision a file."""
