"""One module per family of networks, without torch; `registry` finds its `FAMILY`."""
