"""What keys and commands mean: plain data and pure rules, which both fronts read."""
