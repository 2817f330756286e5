"""Servers of the same generator on other people's serving systems, written the way their own
documentation shows. None is part of the service; each needs only its own package.
"""
