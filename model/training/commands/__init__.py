"""The commands of `python -m model.training`, one file each."""
