"""The service: a seed in a URL, a picture back. It never imports `model.training`."""

START_FAILED = 3  # exit status where the service cannot start; uvicorn's own
