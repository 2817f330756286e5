"""The latent space: seeds to latents, paths and planes through it, directions, the way back."""
