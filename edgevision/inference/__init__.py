"""From a frame to the raw outputs of the network."""
