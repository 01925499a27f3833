"""Installations: probing an interpreter, judging it usable, the inventory of all of them."""
