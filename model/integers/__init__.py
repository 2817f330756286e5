"""Generators and upscalers in integers: the same bytes on every machine. docs/integers.md is their
definition.
"""
