"""Classifiers: networks that name what a picture shows, and their files."""
