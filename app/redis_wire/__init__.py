"""A Redis client for the hot path: one pipelined connection per process and store, shared by all callers.

resp.py        encodes commands, and maps error replies to exceptions
address.py     parses URLs, and opens connections
connection.py  one connection: batches of commands, replies in order, deadlines
node.py        keeps a connection open, and reconnects when it is lost
scripts.py     loads Lua scripts, and calls them by their digest

Everything that no request waits for (rules, subscriptions, scans, checks) uses redis-py.
"""
