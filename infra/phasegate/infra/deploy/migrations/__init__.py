"""Database migrations of the product: how they are run, and which of them destroy data."""
