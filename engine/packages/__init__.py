"""The package plan and the key of an environment. Pure: plain values in, plain values out."""
