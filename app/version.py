"""The version of envdeck, told by both fronts."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
"""As in pyproject.toml. Not asked of the installed package: that takes a tenth of the time to the first paint, and
has no answer in a checkout that is not installed."""
