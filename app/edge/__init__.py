"""The edge: what stands in front of the app servers."""
