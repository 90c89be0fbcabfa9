"""Guards of a change beyond the project's own tests: characterization tests where those are thin."""
