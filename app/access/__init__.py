"""Who may ask a public host, and how often: API keys, signed URLs, rate limits. All are off until a
setting turns them on.
"""
