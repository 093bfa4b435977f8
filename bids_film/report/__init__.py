"""The page that a reader opens: one self-contained HTML file per participant."""
