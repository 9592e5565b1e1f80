"""The reasons for which a benchmark ends without a table."""


class CannotRun(Exception):
    """The machine lacks something that the benchmark needs."""


class WrongAnswer(Exception):
    """The server under test answered incorrectly, so its speed is meaningless."""


def require(holds: bool, what: str) -> None:
    """Raise WrongAnswer with this message unless the condition holds."""
    if not holds:
        raise WrongAnswer(what)
