"""Every kind of queue is registered for edges and for workers, and no other module knows the kinds."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from app.queue.brokers import QUEUES
from app.queue_kind import QueueKind
from consumers.brokers import INTAKES

ROOT = Path(__file__).parents[2]
MODULES = sorted(file for folder in ("app", "consumers", "sync") for file in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("registry", [QUEUES, INTAKES], ids=["queues", "intakes"])
def test_every_value_of_the_setting_is_registered(registry: dict[QueueKind, object]) -> None:
    assert set(registry) == set(get_args(QueueKind))


def test_only_the_registries_import_kafka() -> None:
    importing = re.compile(r"^\s*(from|import) (app\.queue|consumers)\.kafka", re.MULTILINE)
    assert modules_with(importing) == {"app/queue/brokers.py", "consumers/brokers.py"}


def test_only_the_kafka_packages_and_the_local_stores_use_its_client() -> None:
    """`penstock up` starts a broker and waits until it answers."""
    assert modules_with(re.compile(r"^\s*(from|import) aiokafka", re.MULTILINE)) == {"app/local/stores.py"}


@pytest.mark.parametrize("process", ["app.main", "consumers.worker", "sync.watcher"])
def test_no_process_imports_the_client_of_kafka_before_its_settings_name_it(process: str) -> None:
    loaded = f"import {process}, sys; print(sorted(name for name in sys.modules if name.startswith('aiokafka')))"
    found = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def modules_with(pattern: re.Pattern[str]) -> set[str]:
    """The modules outside the Kafka packages whose text has the pattern."""
    outside = [file for file in MODULES if file.parent.name != "kafka"]
    return {str(file.relative_to(ROOT)) for file in outside if pattern.search(file.read_text())}
