"""What only a terminal can show: bytes, frames, signals, other terminals. `python -m tests.pty` prints the budgets."""
