"""The ways by which jobs reach their flows: apart from the settings, because `penstock --help` shows them."""

from typing import Literal

QueueKind = Literal["redis", "kafka"]
"""Where edges put deferred requests; app/queue/brokers.py and consumers/brokers.py implement each."""
