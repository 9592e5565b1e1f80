"""HTTP/1.1: a server for clients and a client for app servers."""
