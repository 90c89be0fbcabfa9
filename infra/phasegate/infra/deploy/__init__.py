"""Deploy targets: an approved change runs on one, and the release before it comes back there."""
