"""Off-host execution: the execution environments that files declare, and which one of them serves a bundle."""
