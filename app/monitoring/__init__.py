"""What is recorded: metrics, logs, traces, the context of a request."""
