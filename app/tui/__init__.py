"""The terminal UI: five views on one engine, made for the far end of an SSH line."""
