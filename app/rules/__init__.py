"""Rules: the model, where they are kept, and which of them apply to a request."""
