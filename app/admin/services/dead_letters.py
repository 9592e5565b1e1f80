"""What operators do with dead letters one by one: list, show, replay and delete them."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from app.admin.operators import Operator, Role
from app.admin.services.audit import Audit
from app.admin.services.dead_letters_model import DeadLetterDocument, DeadLetterPage, DeadLetterSummary, ManyReplayed
from app.admin.services.turns import Turns
from app.errors import Conflict, NotFound
from app.queue.dead_letter_batches import DeadLetterBatches
from app.queue.dead_letter_filter import DeadLetterFilter, DeadLetterPlace
from app.queue.dead_letters import DeadLetters
from app.queue.rule_replay import replay_rule
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache

REPLAYED = "dead_letter.replayed"


class DeadLetterService:
    """Every method raises Forbidden without the role that it requires, and Unavailable without the stores it needs.

    The audit is told before anything is changed, so that nothing is done that it does not know of.
    """

    def __init__(
        self,
        dead_letters: DeadLetters,
        batches: DeadLetterBatches,
        rules_in_force: RuleCache,
        secret_headers: Collection[str],
        audit: Audit,
    ) -> None:
        self._turns = Turns()
        self._dead_letters = dead_letters
        self._batches = batches
        self._rules = rules_in_force
        self._secret_headers = secret_headers
        self._audit = audit

    async def page(self, operator: Operator, wanted: DeadLetterFilter, limit: int, after: str = "") -> DeadLetterPage:
        """List dead letters, newest first; `after` is the `next` of the page before. Raises InvalidInput for no cursor.

        A page may be short, and even empty, although others follow.
        """
        operator.require(Role.VIEWER)
        async with self._turns.of(operator):
            found = await self._dead_letters.page(wanted, limit, DeadLetterPlace.parse(after) if after else None)
        following = None if found.next is None else str(found.next)
        return DeadLetterPage(dead_letters=[DeadLetterSummary.of(one) for one in found.dead_letters], next=following)

    async def get(self, operator: Operator, job_id: str) -> DeadLetterDocument:
        """Show a dead letter, with its contents to operators. Raises NotFound, and Conflict for any other job."""
        operator.require(Role.VIEWER)
        found = await self._dead_letters.get(job_id)
        return DeadLetterDocument.of(found, operator.role >= Role.OPERATOR, self._secret_headers)

    async def replay(self, operator: Operator, job_id: str) -> None:
        """Queue a job again. Raises NotFound, and Conflict where it is no dead letter or its rule is not in force."""
        operator.require(Role.OPERATOR)
        rule = await self._rule_of(job_id)
        await self._audit.record(operator, action=REPLAYED, target=job_id)
        await self._dead_letters.replay(job_id, rule)

    async def replay_these(self, operator: Operator, job_ids: Iterable[str]) -> ManyReplayed:
        """Queue jobs again. Those that are not dead letters are skipped and reported."""
        operator.require(Role.OPERATOR)
        outcome = ManyReplayed(replayed=0, problems={})
        rules: dict[str, ActiveRule] = {}
        for job_id in job_ids:
            with _problems_into(outcome.problems, job_id):
                rules[job_id] = await self._rule_of(job_id)
        await self._audit.record_each(operator, action=REPLAYED, targets=rules)
        for job_id, rule in rules.items():
            with _problems_into(outcome.problems, job_id):
                await self._dead_letters.replay(job_id, rule)
                outcome.replayed += 1
        return outcome

    async def replay_rule(self, operator: Operator, rule_id: str, after: str | None) -> ManyReplayed:
        """Queue a bounded number of a rule's jobs again. Raises Conflict if the rule is not in force, InvalidInput."""
        operator.require(Role.OPERATOR)
        rule = await self._rule(rule_id)
        await self._audit.record(operator, action="dead_letter.rule_replayed", target=rule_id)
        page = await replay_rule(self._batches, rule, after)
        return ManyReplayed(replayed=page.replayed, problems=page.problems, next=page.next)

    async def delete(self, operator: Operator, job_id: str) -> None:
        """Delete a dead letter with everything that is stored of the job. Raises NotFound, Conflict."""
        operator.require(Role.OPERATOR)
        await self._dead_letters.failed_job(job_id)
        await self._audit.record(operator, action="dead_letter.deleted", target=job_id)
        await self._dead_letters.discard(job_id)

    async def _rule_of(self, job_id: str) -> ActiveRule:
        """The rule of a dead letter. Raises NotFound, Conflict."""
        job = await self._dead_letters.failed_job(job_id)
        return await self._rule(job.rule_id)

    async def _rule(self, rule_id: str) -> ActiveRule:
        return required_rule(rule_id, await self._rules.by_id(rule_id))


@contextmanager
def _problems_into(problems: dict[str, str], job_id: str) -> Iterator[None]:
    """Note why a job could not be replayed, and go on."""
    try:
        yield
    except (NotFound, Conflict) as error:
        problems[job_id] = str(error)


def required_rule(rule_id: str, rule: ActiveRule | None) -> ActiveRule:
    """Return the rule as it is in force. Raises Conflict where it is not."""
    if rule is None:
        raise Conflict(f"The rule {rule_id} is deleted or disabled or has no limit, so its jobs have no drain rate.")
    return rule
