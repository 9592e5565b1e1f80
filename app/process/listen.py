"""Where a process serves HTTP: apart from everything else, because commands need it before they import the rest."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listen:
    """The address on which a process serves HTTP; `reuse_port` lets several processes share it (SO_REUSEPORT)."""

    host: str
    port: int
    reuse_port: bool = False
