"""Bundles: the manifest, safe reading of archives, requirements files, and reading a bundle as a whole."""
