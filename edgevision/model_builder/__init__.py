"""Building the networks; nothing that runs on the board imports this room."""
