"""The provider's side of the three wire protocols, one module each; `answers` decides what is said in them."""
