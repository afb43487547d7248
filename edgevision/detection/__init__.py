"""From raw outputs to labelled boxes."""
