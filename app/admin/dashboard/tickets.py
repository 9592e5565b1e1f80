"""Tickets for signing in: each stands for one token, works once, and within a minute, at any admin process.

A link may hold a ticket where it must not hold a token. The cache Redis keeps the token encrypted, and neither the
ticket nor the key: whoever reads the store cannot sign in.
"""

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import SignInUnavailable, TooManyRequests, Unauthenticated

TICKET_BYTES = 32
TICKET_TTL_S = 60
MAX_TICKETS_A_MINUTE = 20
"""How many tickets each operator gets in a minute. It bounds what they can take of the store's memory."""

_NONCE_BYTES = 12


class Tickets:
    """Issues and redeems tickets. All calls raise SignInUnavailable while the cache Redis is away."""

    def __init__(self, cache: Redis) -> None:
        self._cache = cache

    async def issue(self, operator_name: str, token: str) -> str:
        """Return a ticket for a token of this operator. Raises TooManyRequests."""
        await self._count(operator_name)
        ticket = secrets.token_urlsafe(TICKET_BYTES)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        encrypted = nonce + AESGCM(_key(ticket)).encrypt(nonce, token.encode(), None)
        try:
            await self._cache.set(_name(ticket), encrypted, ex=TICKET_TTL_S)
        except (RedisError, OSError, TimeoutError) as error:
            raise _away(error) from error
        return ticket

    async def redeem(self, ticket: str) -> str:
        """Return the token of a ticket, which is of no use afterwards. Raises Unauthenticated."""
        try:
            found = await self._cache.getdel(_name(ticket))
        except (RedisError, OSError, TimeoutError) as error:
            raise _away(error) from error
        try:
            if isinstance(found, bytes):
                return AESGCM(_key(ticket)).decrypt(found[:_NONCE_BYTES], found[_NONCE_BYTES:], None).decode()
        except (InvalidTag, ValueError) as error:  # what is stored there was not stored by an admin process
            raise _refused() from error
        raise _refused()

    async def _count(self, operator_name: str) -> None:
        counter = f"sign-in:tickets:{hashlib.sha256(operator_name.encode()).hexdigest()}"
        try:
            async with self._cache.pipeline(transaction=True) as pipeline:
                pipeline.set(counter, 0, ex=TICKET_TTL_S, nx=True)
                pipeline.incr(counter)
                _, count = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise _away(error) from error
        if count > MAX_TICKETS_A_MINUTE:
            raise TooManyRequests(
                f"You get at most {MAX_TICKETS_A_MINUTE} tickets a minute.", retry_after_s=TICKET_TTL_S
            )


def _name(ticket: str) -> str:
    return f"sign-in:ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"


def _key(ticket: str) -> bytes:
    """The key under which the token is encrypted; it cannot be computed from the name."""
    return hashlib.sha256(b"penstock sign-in ticket\0" + ticket.encode()).digest()


def _refused() -> Unauthenticated:
    return Unauthenticated("The ticket is not valid: it was used already, or it is older than a minute.")


def _away(error: Exception) -> SignInUnavailable:
    return SignInUnavailable(f"Tickets cannot be stored or read: the cache Redis does not answer ({error}).")
