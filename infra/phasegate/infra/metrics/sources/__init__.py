"""Sources of measurements: Prometheus, probes, logs and commands, behind one port."""
