"""The wheel store: wheels unpacked and compiled once, and linked into every environment that wants them."""
