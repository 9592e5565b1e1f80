"""Samples of real traffic, which edges keep and the admin API replays against a changed rule."""
