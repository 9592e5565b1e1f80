"""The limiter: quotas counted in Redis by Lua scripts, for live requests and workers alike."""
