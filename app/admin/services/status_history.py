"""What charts show of the last minutes, in memory: a sample of each status that was gathered."""

import time
from collections import deque

from app.admin.services.status_model import Status, StatusHistory, StatusSample

HISTORY_S = 600.0
MAX_SAMPLES = 600
"""One a second, as the status is gathered: about 150 kB as JSON."""


class StatusSamples:
    """The samples of the last ten minutes, with gaps where nothing was gathered because nobody watched."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, StatusSample]] = deque(maxlen=MAX_SAMPLES)

    def add(self, status: Status) -> None:
        """Keep what charts show of a status that was gathered now."""
        self._samples.append((time.monotonic(), sample_of(status)))

    def history(self) -> StatusHistory:
        """Return the samples that are not older than ten minutes, oldest first."""
        since_s = time.monotonic() - HISTORY_S
        return StatusHistory(samples=[sample for at_s, sample in self._samples if at_s >= since_s])


def sample_of(status: Status) -> StatusSample:
    """Return what charts show of a status."""
    backlog, drain = status.backlog, status.drain
    return StatusSample(
        at=status.at,
        decisions=status.rates.decisions,
        jobs=None if backlog is None else backlog.jobs,
        oldest_age_seconds=None if backlog is None else backlog.oldest_age_seconds,
        dead_letters=None if backlog is None else backlog.dead_letters,
        permitted_per_second=None if drain is None else drain.permitted_per_second,
        actual_per_second=None if drain is None else drain.actual_per_second,
    )
