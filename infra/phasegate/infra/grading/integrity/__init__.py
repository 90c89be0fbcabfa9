"""Checks that a report about a change is honest: planted tests whose outcome is known beforehand."""
