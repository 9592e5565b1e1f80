"""HTTP/1.1 to the app servers: requests written and responses read on connections that are kept."""
