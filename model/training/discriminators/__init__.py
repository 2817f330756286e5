"""The discriminator on frozen features, and the files of discriminators."""
