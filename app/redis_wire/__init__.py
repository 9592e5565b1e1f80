"""Redis for what a request waits for: one connection a process and store, shared by all calls.

resp.py        commands as bytes; what an error reply becomes
address.py     a URL: where to connect to, and what is said first
connection.py  one connection: calls out in batches, answers in order, deadlines
node.py        the connection that there always is: made, and made again

scripts.py     Lua scripts, and calls of them over that connection

What is not on the hot path (rules, subscriptions, scans, checks) uses redis-py.
"""
