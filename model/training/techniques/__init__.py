"""Improved techniques for training GANs: each a file, with its paper and equation."""
