"""Environments: the cache on disk, its records and their states."""
