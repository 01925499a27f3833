"""Rebuilding many environments: the list on disk, what a run picks from it, and the run itself."""
