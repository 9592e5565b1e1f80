"""The admin API: what operators use."""
