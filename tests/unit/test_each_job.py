"""Commands that act on several jobs do so to each of them, and say for which it could not be done."""

import json

import pytest

from app.commands.each_job import do_to_each
from app.errors import AdminRefusal, Conflict, NotFound, Unavailable


def cancel(job_id: str) -> None:
    match job_id:
        case "gone":
            raise NotFound("There is no such job.")
        case "failed":
            raise AdminRefusal("The job can't be canceled.", 409, {})
        case "forbidden":
            raise AdminRefusal("This requires the role operator.", 403, {})
        case "away":
            raise Unavailable("Redis is away.")


def test_what_cannot_be_done_to_one_job_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Conflict, match=r"^gone: There is no such job\.; failed: The job can't be canceled\.$"):
        do_to_each(["a", "gone", "b", "failed", "c"], cancel, "canceled", as_json=False)
    assert capsys.readouterr().out == "a: canceled\nb: canceled\nc: canceled\n"
    with pytest.raises(Conflict):
        do_to_each(["a", "gone", "b"], cancel, "canceled", as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"canceled": ["a", "b"], "problems": {"gone": "There is no such job."}}


def test_of_one_job_only_the_reason_is_said() -> None:
    with pytest.raises(Conflict, match=r"^The job can't be canceled\.$"):
        do_to_each(["failed"], cancel, "canceled", as_json=False)


@pytest.mark.parametrize(("job_id", "error"), [("forbidden", AdminRefusal), ("away", Unavailable)])
def test_what_would_fail_for_each_ends_at_once(
    capsys: pytest.CaptureFixture[str], job_id: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        do_to_each(["a", job_id, "b"], cancel, "canceled", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"canceled": ["a"], "problems": {}}, "what was done is said"
