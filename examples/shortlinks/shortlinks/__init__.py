"""Short links for a team: `/handbook` leads to the handbook."""
