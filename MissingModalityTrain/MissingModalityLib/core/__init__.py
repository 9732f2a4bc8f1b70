"""What every other room may know: the standard library and numpy alone."""
