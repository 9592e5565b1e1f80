"""What every process has: its life cycle, its servers, logs and metrics."""
