"""Engine: one machine's Prefect server, and the warm process that executes its flow runs.

`control` is for the command line and imports nothing heavy; `daemon` is the process itself; a flow needs only
`gate_wait`. Nothing in here knows more of a run than its id.
"""
