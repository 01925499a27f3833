"""Who did what in a data directory, when and with which result."""
