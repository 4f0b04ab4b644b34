"""Runnable simulations, and reference simulations written by hand in plain Brian2."""
