"""SQL of the ledger: schema, connections, transactions and compiled statements."""
