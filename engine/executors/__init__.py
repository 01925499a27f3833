"""Executors: where a build's process runs, behind one small protocol."""
