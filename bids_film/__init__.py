"""bids_film segments medical images and reads the scan's metadata while it does so."""

__version__ = "0.1.0"
