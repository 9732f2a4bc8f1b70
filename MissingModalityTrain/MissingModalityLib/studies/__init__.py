"""Tables of papers, and comparisons of our own, as lists of trainings that one command goes through."""
