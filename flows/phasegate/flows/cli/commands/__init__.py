"""Commands of the command line: a module each, or one for a few that share their options. Loaded by `cli.root`."""
