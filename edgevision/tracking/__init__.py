"""From boxes to objects that keep their number from frame to frame."""
