"""`penstock dashboard`: prints a link that signs in to the dashboard."""

import json
from datetime import timedelta

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson

SESSION = timedelta(hours=8)
"""How long the token of the development issuer is valid. Another issuer's tokens are valid for as long as they say."""


def dashboard(as_json: AsJson = False, installation: InstallationOption = DEFAULT_INSTALLATION) -> None:
    """Print a link to the dashboard that signs you in with your role. It works once, within a minute."""
    with AdminClient(installation, SESSION) as client:
        made = client.call("POST", "sign-in", "tickets")
        link = f"{client.url}/sign-in#ticket={made['ticket']}"
    print(json.dumps({"url": link, "expires_at": made["expires_at"]}, indent=2) if as_json else link)
