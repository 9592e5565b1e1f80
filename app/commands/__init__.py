"""Command groups of `penstock` that talk to the admin API."""
