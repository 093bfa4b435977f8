"""From labelled scans to the weights of a network."""
