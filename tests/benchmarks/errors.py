"""Why a benchmark ends without a table."""


class CannotRun(Exception):
    """Something that the benchmark needs is not here."""


class WrongAnswer(Exception):
    """What was measured did not do its work, so its speed says nothing."""


def require(holds: bool, what: str) -> None:
    """Raise WrongAnswer unless it holds."""
    if not holds:
        raise WrongAnswer(what)
