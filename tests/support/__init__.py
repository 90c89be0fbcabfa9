"""Harnesses, and makers of generated pages, that several suites share."""
