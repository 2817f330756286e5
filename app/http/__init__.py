"""Below the routes: the hot path, CORS, the OpenAPI document."""
