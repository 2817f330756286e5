"""The service: a seed in a URL, a picture back. It never imports `model.training`."""
