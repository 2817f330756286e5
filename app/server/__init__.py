"""The process: workers, protocol, loading and reloading, readiness, the end."""
