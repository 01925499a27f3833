"""What the UI says about each thing, as documents: pure functions from engine values to lines."""
