"""Rules: the model, the stores (MongoDB and the cache Redis), and which rules apply to a request."""
