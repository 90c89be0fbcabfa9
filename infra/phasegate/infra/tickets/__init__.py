"""Where work comes from: a file, standard input, or an issue."""
