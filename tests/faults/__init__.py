"""Builds that are killed at random: what must hold after each, whatever was hit and when."""
