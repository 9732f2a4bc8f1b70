"""From raw volumes, as a scanner gives them, to ones a student can read: registered, stripped, checked."""
