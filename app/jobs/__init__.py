"""Jobs: deferred requests, their records and their outcomes."""
