"""The conditioned network: its configuration, its layers, and the one file that holds a model."""
