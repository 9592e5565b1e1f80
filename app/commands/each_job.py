"""Does something to each of several jobs, and says for which it could not be done."""

import json
from collections.abc import Callable, Sequence

from app.errors import AdminRefusal, Conflict, NotFound

IN_THE_WAY = 409


def do_to_each(job_ids: Sequence[str], act: Callable[[str], object], done: str, *, as_json: bool) -> None:
    """Act on each job and print those that are `done`. One that is gone or in another state stops no other.

    Raises Conflict, which says why, and at once whatever else a call raises.
    """
    finished: list[str] = []
    problems: dict[str, str] = {}
    try:
        for job_id in job_ids:
            if problem := _problem_of(act, job_id):
                problems[job_id] = problem
            else:
                finished.append(job_id)
                if not as_json:
                    print(f"{job_id}: {done}")
    finally:
        if as_json and (finished or problems):
            print(json.dumps({done: finished, "problems": problems}, indent=2))
    if problems:
        named = [f"{job_id}: {problem}" for job_id, problem in problems.items()]
        raise Conflict("; ".join(problems.values() if len(job_ids) == 1 else named))


def _problem_of(act: Callable[[str], object], job_id: str) -> str:
    """Why it could not be done to this job; empty if it was done."""
    try:
        act(job_id)
    except NotFound as error:
        return str(error)
    except AdminRefusal as error:
        if error.answered != IN_THE_WAY:
            raise
        return str(error)
    return ""
