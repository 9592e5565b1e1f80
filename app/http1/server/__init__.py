"""An HTTP/1.1 server: strict about what it accepts, with bounds on bytes and time, for native and ASGI applications."""
