"""What serving and training share: networks, latents, images, the generator file, the sampler."""
