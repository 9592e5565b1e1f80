"""Who calls: bearer tokens, issuer keys, client addresses, and the `Penstock-Identity` token for app servers."""
