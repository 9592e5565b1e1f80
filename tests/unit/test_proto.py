"""The gRPC API's definition: its code is current, it says what everything means, and it has all fields of a rule."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import BaseModel

from app.admin.grpc.messages import to_fields, to_message
from app.admin.proto import admin_pb2 as pb
from app.admin.services.explain_model import ExplainedRule, ExplainRequest, Explanation
from app.admin.services.flows_model import Flow, FlowPage, FlowSettings
from app.admin.services.jobs_model import JobDocument, JobQuery, JobSummary
from app.admin.services.status_model import ProcessStatus, Status, StoreStatus
from app.rules.limits import Drain, RuleLimit, VariableCost
from app.rules.match_conditions import MatchConditions
from app.rules.model import Rule
from app.rules.queue_options import QueueOptions
from app.rules.schedule import ScheduledLimit
from app.rules.temporary import TemporaryChange

PROTO = Path(pb.__file__).parent
GENERATED = ("admin_pb2.py", "admin_pb2.pyi", "admin_pb2_grpc.py")


def test_the_generated_code_is_current(tmp_path: Path) -> None:
    """As scripts/proto makes it."""
    made = subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", f"-Ipenstock/admin/v1={PROTO}", f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}", "penstock/admin/v1/admin.proto",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    for name in GENERATED:
        text = (tmp_path / "penstock/admin/v1" / name).read_text()
        text = text.replace("from penstock.admin.v1 import admin_pb2", "from app.admin.proto import admin_pb2")
        assert (PROTO / name).read_text() == text, "run scripts/proto"


def test_everything_has_a_comment() -> None:
    lines = (PROTO / "admin.proto").read_text().splitlines()
    declared = re.compile(r"\s*(message|service|rpc|oneof|(optional |repeated )?[\w.<>, ]+ \w+ = \d+;)")
    bare = [line for before, line in pairwise(lines) if declared.match(line) and not before.strip().startswith("//")]
    assert bare == []


def test_requests_and_answers_are_named_after_their_methods() -> None:
    for service in pb.DESCRIPTOR.services_by_name.values():
        assert service.name.endswith("Service")
        for method in service.methods:
            assert method.input_type.name == f"{method.name}Request"
            assert method.output_type.name == f"{method.name}Response"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Rule, pb.Rule),
        (RuleLimit, pb.RuleLimit),
        (VariableCost, pb.VariableCost),
        (MatchConditions, pb.MatchConditions),
        (Drain, pb.Drain),
        (QueueOptions, pb.QueueOptions),
        (Flow, pb.Flow),
        (FlowPage, pb.ListFlowsResponse),
        (FlowSettings, pb.FlowSettings),
        (ScheduledLimit, pb.ScheduledLimit),
        (TemporaryChange, pb.TemporaryChange),
        (ExplainRequest, pb.ExplainRequest),
        (Explanation, pb.ExplainResponse),
        (ExplainedRule, pb.ExplainedRule),
        (JobQuery, pb.ListJobsRequest),
        (JobSummary, pb.JobSummary),
        (JobDocument, pb.JobDocument),
        (Status, pb.Status),
        (ProcessStatus, pb.ProcessStatus),
        (StoreStatus, pb.StoreStatus),
    ],
)
def test_a_message_has_the_fields_of_the_rest_api(model: type[BaseModel], message: type) -> None:
    of_message = set(message.DESCRIPTOR.fields_by_name)  # type: ignore[attr-defined]  # a generated message
    if model is Rule:
        of_message = of_message - {"fixed_cost", "variable_cost"} | {"cost"}
    assert of_message == set(model.model_fields)


def test_a_message_becomes_the_json_of_the_rest_api_and_back() -> None:
    fields = {
        "rule_id": "r",
        "key_type": ["user", "claim:tenant"],
        "key_value": ["*", "*"],
        "limit": 2**40,
        "window_seconds": 0.5,
        "cost": 3,
        "match": {"claims": {"plan": ["pro", 5, True, 0.5]}, "anonymous": False},
        "limits": [{"limit": 1, "window_seconds": 60.0}],
        "updated_at": "2026-11-27T12:00:00.250Z",
        "enabled": False,
    }
    message = to_message({**fields, "burst": None}, pb.Rule)
    assert not message.HasField("burst")
    assert to_fields(pb.Rule.FromString(message.SerializeToString())) == fields


def test_one_key_type_is_a_text_as_in_json() -> None:
    message = to_message({"key_type": "user", "key_value": "*"}, pb.Rule)
    assert to_fields(message) == {"key_type": "user", "key_value": "*"}
