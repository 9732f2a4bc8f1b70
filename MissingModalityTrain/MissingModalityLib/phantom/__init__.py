"""Synthetic patients for demos, tests and, when asked for, training: no scan of a person is in them."""
