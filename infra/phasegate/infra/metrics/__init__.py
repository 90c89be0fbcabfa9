"""Whether a release does well: measurements, and the verdict code draws from them."""
