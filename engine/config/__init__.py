"""Configuration: gcfg text to entries to typed settings, each with its origin; watching the files."""
