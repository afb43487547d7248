"""Objects over time: tracker, zones, lines, events."""
