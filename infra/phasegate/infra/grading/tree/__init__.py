"""Trees that are graded: which tests are in a file, and the file without some of them."""
