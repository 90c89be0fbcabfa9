"""What a repository allows and asks for: `phasegate.toml`, read, checked and first written."""
