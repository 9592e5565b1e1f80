"""Jobs: deferred requests and their outcomes."""
