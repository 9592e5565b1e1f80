"""Workers: they send deferred jobs to the app servers at the permitted rate."""
