"""Offline: real images in, a generator file out. The service never imports this package."""
