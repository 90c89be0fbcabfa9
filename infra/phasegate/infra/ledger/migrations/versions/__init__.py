"""Revisions of the stored format, one module each."""
