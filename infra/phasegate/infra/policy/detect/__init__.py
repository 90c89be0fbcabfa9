"""First policies: what a repository's own files tell of its set-up, tests and service."""
