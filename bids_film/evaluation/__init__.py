"""From measures per scan to what can be said of a model: intervals and comparisons."""
