"""One file per command: ``add`` describes its options, ``run`` imports what it needs and does the work.

What ``run`` imports stays inside it, so that help appears at once.
"""
