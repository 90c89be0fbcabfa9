"""Longest blocks of the engine's loop while agents make what is large or odd."""
