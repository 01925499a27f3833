"""The doctor: whether a data directory is fit for its work, what lies about in it, and repairs as a plan."""
