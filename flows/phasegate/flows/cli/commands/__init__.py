"""One module per command, or per few that are the same thing said three ways. Found by name from `cli.root`."""
