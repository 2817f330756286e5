"""Training of upscalers: pairs of small and large pictures, two phases, what measures them."""
