"""What every kind of process has: its life cycle, its servers, logs and metrics."""
