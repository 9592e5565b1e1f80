"""What an answer states that its request has really cost, and the correction that follows from it."""

from collections.abc import Iterable, Sequence

from app.limiter.corrections import Corrections
from app.limiter.policy import Charge
from app.web.header_numbers import number_in
from app.web.headers import Headers

MAX_STATED_UNITS = 1_000_000_000
"""An answer that states more is not believed."""


def hidden_headers(charges: Iterable[Charge]) -> frozenset[bytes]:
    """The headers that state what a request has cost and that clients do not see; a shadow rule hides none."""
    stating = [charge.stated_in for charge in charges if charge.stated_in is not None and not charge.shadow]
    return frozenset(one.name for one in stating if not one.exposed)


class AnswerCost:
    """Corrects once what a request was charged, by what its answer states in a header or a trailer.

    `charges`: what the request was charged, where the answer may correct it. An answer that states no number, one that
    is too high, or two that differ, corrects nothing. `hidden`: the headers that state a cost and that clients do not
    see.
    """

    __slots__ = ("_charges", "_corrections", "_ended", "_head", "_hidden")

    def __init__(self, corrections: Corrections, charges: Sequence[Charge], hidden: frozenset[bytes]) -> None:
        self._corrections = corrections
        self._charges = charges
        self._hidden = hidden
        self._head: Headers = []
        self._ended = False

    def begin(self, headers: Headers) -> Headers:
        """Note what the head of the answer states. Returns the headers that the client may see."""
        self._head = headers
        return self.visible(headers)

    def visible(self, headers: Headers) -> Headers:
        """The headers that the client may see, of those that an app server has sent."""
        hidden = self._hidden
        return [field for field in headers if field[0] not in hidden] if hidden else headers

    def end(self, trailers: Headers) -> None:
        """Correct the counters by what the answer has stated until now. Further calls do nothing."""
        if self._ended:
            return
        self._ended = True
        stated = [*self._head, *trailers]
        for charge in self._charges:
            units = None if charge.stated_in is None else number_in(stated, charge.stated_in.name)
            if units is not None and units <= MAX_STATED_UNITS and units != charge.cost:
                self._corrections.add(charge, units - charge.cost)
