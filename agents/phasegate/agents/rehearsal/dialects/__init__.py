"""Provider's side of the three wire protocols, one module each; `answers` decides on the content."""
