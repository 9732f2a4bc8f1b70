"""From volumes as a scanner makes them to volumes that can be segmented."""
