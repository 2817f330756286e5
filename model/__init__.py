"""What serving and training share: networks, latents, images, the model folder, the sampler."""
