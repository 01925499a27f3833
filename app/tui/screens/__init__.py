"""The five views and the pages above them."""
