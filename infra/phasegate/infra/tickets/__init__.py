"""Tickets, read from a file, standard input, or an issue."""
