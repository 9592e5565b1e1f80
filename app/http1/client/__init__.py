"""HTTP/1.1 to the app servers: writes requests and reads responses on pooled connections."""
