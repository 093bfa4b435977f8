"""Image arithmetic on arrays: grids, resampling, intensities, measures; no torch."""
