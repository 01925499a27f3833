"""Content: what was deployed, with which bundles, on which installation."""
