"""HTTP/1.1 with clients: strict in what is read, bounded in time and memory, and an ASGI application behind it."""
