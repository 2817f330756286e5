"""From rows to pixels: batching, the loaded generator, the search for a latent."""
