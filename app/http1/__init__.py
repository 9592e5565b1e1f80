"""HTTP/1.1, both ways: with clients and with app servers."""
