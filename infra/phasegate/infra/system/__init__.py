"""Operating system: processes, groups of them, ports, shells. Imports nothing: the supervisor is to stay small."""
