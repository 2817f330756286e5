"""One file per family of networks; `config.py` holds their shapes without importing torch."""
