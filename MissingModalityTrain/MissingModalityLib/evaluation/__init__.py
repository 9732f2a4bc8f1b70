"""Dice and HD95 over the 15 subsets: :mod:`.metrics` scores, :mod:`.run` evaluates, :mod:`.tables` prints."""
