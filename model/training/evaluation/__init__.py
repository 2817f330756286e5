"""What networks see in pictures, and the figures of quality."""
