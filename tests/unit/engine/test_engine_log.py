"""A line of the engine's log holds no secret of its environment, and nothing that steers a terminal or hides."""

from __future__ import annotations

import logging

from phasegate.flows.engine.daemon import EngineLogFormatter


def test_a_line_hides_nothing_and_leaks_nothing():
    """Mutation tried: the formatter without `sanitize`; without the mask; the mask first."""
    formatter = EngineLogFormatter({"SERVICE_TOKEN": "hunter2hunter2"})
    text = "wrote a\u3164b\x1b[2A\u202e hunter2hunter2 hunter2\x1b[1mhunter2"
    record = logging.LogRecord("engine", logging.INFO, "x", 1, text, None, None)
    line = formatter.format(record)
    assert "a<U+3164>b␛[2A<U+202E>" in line
    assert "hunter2" not in line
