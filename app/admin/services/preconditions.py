"""What must hold before a rule is changed: nobody writes over what they have not seen, if they say what that was."""

import re
from dataclasses import dataclass

_ETAG = re.compile('"([1-9][0-9]{0,15})-[0-9a-f]{16}"')


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold before a rule is changed. `etags` are those that the rule may have; None means any."""

    etags: frozenset[str] | None = None
    must_exist: bool = False
    must_be_new: bool = False

    def problem(self, rule_id: str, etag: str | None) -> str | None:
        """Say why the precondition does not hold, or return None. `etag` is None if there is no such rule."""
        if self.must_be_new and etag is not None:
            return f"There is a rule {rule_id!r} already, with the ETag {etag}."
        if (self.must_exist or self.etags is not None) and etag is None:
            return f"There is no rule {rule_id!r}."
        if self.etags is not None and etag not in self.etags:
            return f"The rule {rule_id!r} has changed: its ETag is {etag}."
        return None

    @property
    def version(self) -> int | None:
        """The version of the rule that the client has, if it names exactly one."""
        if self.etags is None or len(self.etags) != 1:
            return None
        found = _ETAG.fullmatch(next(iter(self.etags)))
        return None if found is None else int(found[1])


ANY = Precondition()
"""What always holds: the last writer wins."""
