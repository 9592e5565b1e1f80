"""A preview of a changed rule says what the rule then really does with the same requests."""

from pathlib import Path
from typing import Any

import aiohttp

from app.settings import Settings
from tests.support.ports import free_port
from tests.support.system import System, running
from tests.support.waiting import eventually

DAY_S = 86_400
RULE = {"key_type": "user", "key_value": "*", "limit": 100, "window_seconds": DAY_S}
REQUESTS = {"ann": 12, "bob": 3, "cleo": 1}


class AdminApi:
    """The admin API as a viewer calls it."""

    def __init__(self, system: System, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._system = system

    async def __call__(
        self, method: str, path: str, body: object = None, role: str = "viewer"
    ) -> aiohttp.ClientResponse:
        token = self._system.issuer.token("ops", aud="penstock-admin", penstock_role=role)
        headers = {"Authorization": f"Bearer {token}"}
        async with self._system.http.request(method, self.url + path, json=body, headers=headers) as answer:
            await answer.read()
            return answer


async def test_a_preview_foretells_what_the_changed_rule_does(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, edges=2, workers=0) as system:
        port = free_port()
        await system.ready(system.spawn("admin", "--port", str(port)))
        admin = AdminApi(system, port)
        await system.put_rule("r", **RULE)
        for user in REQUESTS:
            await system.rule_is_known("r", user)

        assert (await admin("POST", "/rules/none/preview", RULE)).status == 404
        unused = await admin("POST", "/rules/r/preview", RULE)
        assert (unused.status, "nothing to preview" in (await unused.json())["detail"]) == (409, True)
        otherwise = await admin("POST", "/rules/r/preview", RULE | {"key_value": "ann"})
        assert (otherwise.status, (await otherwise.json())["detail"].split(":")[0]) == (422, "key_value")

        for user, count in REQUESTS.items():
            for _ in range(count):
                answer = await system.request("GET", "/", user, headers={"Connection": "close"})
                assert answer.status == 200
        changed = RULE | {"limit": 5}
        preview: dict[str, Any] = {}

        async def is_whole() -> bool:
            preview.clear()
            preview.update(await (await admin("POST", "/rules/r/preview", changed)).json())
            return preview.get("requests") == {"requests": 16, "margin": 0}

        # What an edge has seen is left out while it is too busy to say it.
        await eventually(is_whole, 30, "the preview is about all requests")
        assert preview["now"]["forwarded"]["requests"] == 16
        assert preview["then"]["rejected"]["requests"] == 7
        assert [(one["descriptor"], one["forwarded_then"]) for one in preview["most_affected"]] == [("user:ann", 5)]
        assert (await (await admin("GET", "/rules/r")).json())["limit"] == 100, "nothing was written"

        one = RULE | {"key_value": "ann", "limit": 5}
        new = await (await admin("POST", "/rules/new/preview?traffic_of=r", one)).json()
        assert (new["requests"]["requests"], new["then"]["rejected"]["requests"]) == (12, 7), "those of ann alone"
        assert "'r'" in new["notes"][-1]
        whole = await (await admin("POST", "/rules/new/preview?traffic_of=r", changed)).json()
        assert whole["then"] == preview["then"]
        others = await admin("POST", "/rules/new/preview?traffic_of=r", one | {"key_value": "dora"})
        assert (others.status, "user:dora" in (await others.json())["detail"]) == (409, True)
        other_callers: list[dict[str, object]] = [{"key_type": "claim:plan"}, {"match": {"claims": {"plan": "pro"}}}]
        for fields, named in zip(other_callers, ("key_type", "match"), strict=True):
            refused = await admin("POST", "/rules/new/preview?traffic_of=r", one | fields)
            assert (refused.status, (await refused.json())["detail"].split(":")[0]) == (422, named)
        assert (await admin("POST", "/rules/new/preview?traffic_of=none", one)).status == 404
        assert (await admin("GET", "/rules/new")).status == 404
