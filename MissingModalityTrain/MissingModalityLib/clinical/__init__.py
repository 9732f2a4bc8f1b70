"""From raw volumes, as a scanner gives them, to ones that a student can read: registered, stripped, checked."""
