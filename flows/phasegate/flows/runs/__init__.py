"""Requests that a person may make of a run, without Prefect."""
