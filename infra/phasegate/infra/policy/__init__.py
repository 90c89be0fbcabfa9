"""Policy of a repository: `phasegate.toml`, read, checked and first written."""
