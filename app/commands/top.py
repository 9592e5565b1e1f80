"""`penstock top`: a live view of an installation in the terminal."""

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.keyboard import Keyboard
from app.commands.options import AsJson
from app.commands.top_feed import TopFeed
from app.commands.top_state import SORTS, TopState, Wish, answered, pressed
from app.commands.top_view import drawing
from app.errors import InvalidInput, PenstockError
from app.rules.rate import format_rate

if TYPE_CHECKING:
    from rich.live import Live

KEY_WAIT_S = 0.1


def top(
    interval: Annotated[float, typer.Option(min=0.5, max=60.0, help="Seconds between two looks.")] = 1.0,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Watch rates, backlog and flows in the terminal; sort, pause and change rates by keys. With --json, look once."""
    if not as_json and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput("this is not a terminal: use --json, or `penstock status`")
    with AdminClient(installation) as client:
        feed = TopFeed(client, interval, SORTS[0])
        if as_json:
            print(json.dumps({"status": feed.answer.status, "flows": feed.answer.flows}, indent=2))
            return
        _watch(client, feed)


def _watch(client: AdminClient, feed: TopFeed) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    state = answered(TopState(feed.answer.status), *feed.answer)
    with Keyboard() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        feed.start()
        try:
            while True:
                _draw(live, state)
                for key in keyboard.read(KEY_WAIT_S):
                    sort = state.sort
                    state, wish = pressed(state, key)
                    if wish is not None and wish.action == "quit":
                        return
                    if wish is not None:
                        state = replace(state, message=_done(client, wish))
                    if wish is not None or state.sort != sort:
                        feed.ask_now(state.sort)
                state = answered(state, *feed.answer)
        finally:
            feed.end()


def _draw(live: "Live", state: TopState) -> None:
    live.update(drawing(state, live.console), refresh=True)


def _done(client: AdminClient, wish: Wish) -> str:
    """Do what a key asked for. Return what was done, or why it was not."""
    flow = wish.flow
    if flow is None:
        return ""
    try:
        if wish.target == "flow":
            return f"{flow['rule_id']}, {flow['caller']}: {_done_to_flow(client, flow['id'], wish)}"
        return f"{flow['rule_id']}: {_done_to_rule(client, flow['rule_id'], wish)}"
    except PenstockError as error:
        return str(error)


def _done_to_flow(client: AdminClient, flow_id: str, wish: Wish) -> str:
    if wish.rate is None:
        client.call("POST", "flows", flow_id, wish.action)
        return f"{wish.action}d"
    limit, window_s = wish.rate
    client.call("PUT", "flows", flow_id, "rate", body={"limit": limit, "window_seconds": window_s})
    return f"drains at {format_rate(limit, window_s)}"


def _done_to_rule(client: AdminClient, rule_id: str, wish: Wish) -> str:
    if wish.rate is None:
        client.call("POST", "rules", rule_id, "drain", wish.action)
        return f"{wish.action}d"
    limit, window_s = wish.rate
    client.call("PUT", "rules", rule_id, "drain", body={"limit": limit, "window_seconds": window_s})
    return f"drains at {format_rate(limit, window_s)}"
