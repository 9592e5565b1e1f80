"""`penstock dashboard`: prints a link that signs in to the dashboard."""

import json

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson
from app.local.sign_in_link import SESSION, link_of


def dashboard(as_json: AsJson = False, installation: InstallationOption = DEFAULT_INSTALLATION) -> None:
    """Print a link to the dashboard that signs you in with your role. It works once, within a minute."""
    with AdminClient(installation, SESSION) as client:
        made = client.call("POST", "sign-in", "tickets")
        link = link_of(client.url, made["ticket"])
    print(json.dumps({"url": link, "expires_at": made["expires_at"]}, indent=2) if as_json else link)
