"""What may be asked: schemas, bounds, and the picture request made of them."""
