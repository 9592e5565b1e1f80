"""The queue Redis: flows, job records, operators' commands, and the job queues in front of them."""
