"""Everything that is written into the output folder, whole or not at all."""
