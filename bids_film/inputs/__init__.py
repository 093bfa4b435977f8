"""BIDS in: which files are scans, what is known of each, and their voxels."""
