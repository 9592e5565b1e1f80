"""The sync worker, which publishes the rules of MongoDB into the cache Redis."""
