"""Trains classifiers that learn from a few labelled pictures and many without."""
