"""Redis for what a request waits for: one connection a process and store, shared by all calls.

resp.py        commands as bytes; what an error reply becomes
address.py     a URL: where to connect to, and what is said first
connection.py  one connection: calls out in batches, answers in order, deadlines
node.py        the connection that there always is: made, and made again

Lua scripts (app/lua.py) go over it. What is not on that path (rules, subscriptions, scans, checks) is redis-py's.
"""
