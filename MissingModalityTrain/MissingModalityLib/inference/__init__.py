"""A trained network, the student, and what it is used for."""
