"""Methods in which a teacher that sees more modalities instructs the student; one file per method."""
