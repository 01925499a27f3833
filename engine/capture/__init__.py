"""Capture: writing a bundle from a project, as a publishing client does."""
