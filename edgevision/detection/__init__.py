"""From the network's outputs to labelled boxes; where to look, and pictures of what was found."""
