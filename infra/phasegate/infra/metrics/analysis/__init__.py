"""Analysis of measurements: comparison with a baseline, verdict, and the watch over a release."""
