"""Metrics of a release: measurements, and the verdict that code draws from them."""
