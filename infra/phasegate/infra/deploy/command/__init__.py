"""Deploy target `command`: the team's own commands release, shift and roll back."""
