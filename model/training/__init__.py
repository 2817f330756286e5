"""Offline: real images in, a model folder out. The service never imports this package."""
