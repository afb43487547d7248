"""From a frame to the outputs of the network."""
