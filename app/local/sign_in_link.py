"""The link that signs in to the dashboard: `penstock up` and `penstock dashboard` print one."""

from datetime import timedelta

SESSION = timedelta(hours=8)
"""For how long the development issuer's token of a link is valid. Other issuers decide that by themselves."""


def link_of(url: str, ticket: str) -> str:
    """Return the link for a ticket, which stands in the fragment and so reaches no server or log by the address."""
    return f"{url}/sign-in#ticket={ticket}"
