"""What belongs to the training panel alone, one file per section."""
