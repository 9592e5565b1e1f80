"""Requests to the app servers, and their circuit breakers."""
