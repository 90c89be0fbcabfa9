"""One module per revision of the stored format."""
