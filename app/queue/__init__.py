"""Flows: the queue of one rule's jobs for one descriptor, in the queue Redis."""
