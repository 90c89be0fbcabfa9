"""Where an approved change runs, and how the release before it comes back."""
