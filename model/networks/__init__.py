"""The networks of each family and what goes by their configuration; only networks need torch."""
