"""From rows to pictures: one sampler for each runtime."""
