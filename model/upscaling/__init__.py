"""Learned enlargement: a small network that gives pictures twice or four times the side."""
