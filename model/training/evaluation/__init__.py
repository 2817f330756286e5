"""What networks see in pictures, and metrics of quality."""
