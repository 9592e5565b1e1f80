"""The sync worker: rules from MongoDB to the cache Redis."""
