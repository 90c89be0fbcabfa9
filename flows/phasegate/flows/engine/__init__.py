"""The engine: one machine's Prefect server and the warm process in which its flow runs run.

`control` is for the command line and imports nothing heavy; `daemon` is the process itself; a flow needs only
`gate_wait`. Nothing in here knows what a run is beyond its id.
"""
