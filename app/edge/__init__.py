"""The edge: the reverse proxy in front of the app servers, which forwards, rejects or defers requests."""
