"""The audit: who changed what, by which face, from what to what. In MongoDB, beside the rules."""
