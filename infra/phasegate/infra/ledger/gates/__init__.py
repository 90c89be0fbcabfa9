"""Gates in the ledger: their rows, and who may decide them."""
