"""The conclusions that the benchmarks draw from their measurements."""

import os
import time
from pathlib import Path

import pytest

from tests.benchmarks.cost_meter import Growth, Step, compare
from tests.benchmarks.errors import CannotRun, WrongAnswer
from tests.benchmarks.life import Life, target_check
from tests.benchmarks.load import parse, write_requests
from tests.benchmarks.processes import Cores, cpu_s, split, ticks_in
from tests.benchmarks.samples import Row, Sample, TargetCheck, difference, percentile, ratio, within, worst_window
from tests.benchmarks.table import show_rates, show_targets


def row(*rates: float) -> Row:
    return Row("row", tuple(Sample(rate, 1e6 / rate, 1000 / rate) for rate in rates))


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    assert ratio(row(100, 400, 90), row(10, 20, 30)) == 10  # 10, 20, 3; the ratio of the medians would be 5
    assert ratio(row(100), row(50), "cpu_us") == 0.5
    assert difference(row(10, 10), row(20, 20), "p50_us") == 50


def test_rows_with_different_numbers_of_rounds_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ratio(row(1, 2), row(1))


def test_a_target_is_an_upper_or_a_lower_bound() -> None:
    assert TargetCheck("", 7, 7).met
    assert not TargetCheck("", 6.99, 7).met
    assert TargetCheck("", 400, 400, at_least=False).met
    assert not TargetCheck("", 401, 400, at_least=False).met


def test_the_fullest_window_is_found_wherever_it_begins() -> None:
    times_s = [0.0, 0.75, 1.0, 1.125, 1.25, 1.625, 1.75, 3.0]
    assert worst_window(times_s, 1.0) == 5  # from 0.75 up to 1.625; at 1.75 the window is over
    assert within(times_s, 1.0) == 2
    assert worst_window([], 1.0) == 0


def test_cpu_time_is_read_whatever_the_name_of_the_process() -> None:
    numbers = "S 1 1 1 0 -1 4194560 1 0 0 0 250 50 7 8 20 0 1 0 1"
    assert ticks_in(f"42 (nginx: worker) {numbers}") == 300
    assert ticks_in(f"42 (a ) b ( c)) {numbers}") == 300


def test_the_cpu_time_of_this_process_is_what_python_says() -> None:
    before, start = cpu_s(os.getpid()), time.process_time()
    while time.process_time() < start + 0.5:
        pass
    # The kernel counts ticks, so it sometimes charges a process for those of others on the same core.
    assert cpu_s(os.getpid()) - before == pytest.approx(0.5, rel=0.5)


def test_the_server_gets_a_core_for_itself() -> None:
    assert split({3, 1, 2}) == Cores(frozenset({1}), frozenset({2, 3}))
    with pytest.raises(CannotRun, match="two cores"):
        split({0})


def test_the_report_of_wrk_is_parsed() -> None:
    load, wrong, first = parse('noise\nLOAD 100 2000000 15000 1 7 250 3 500 {"a": 1}\n')
    assert (load.requests, load.seconds, load.unanswered, load.refused, load.p50_us) == (100, 2.0, 1, 7, 250)
    assert (load.answer_bytes, wrong, first) == (150, 3, '500 {"a": 1}')
    assert parse("LOAD 100 2000000 15000 0 0 250 0 \n")[1:] == (0, "")
    with pytest.raises(WrongAnswer, match="unable to connect"):
        parse("unable to connect to 127.0.0.1")


def test_requests_are_written_as_they_are_sent(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    write_requests(path, "http://127.0.0.1:80/a/b", [{"A": "1"}, {"A": "2"}], "POST", "xyz")
    frame = "POST /a/b HTTP/1.1\r\nHost: 127.0.0.1:80\r\nA: {}\r\nContent-Length: 3\r\n\r\nxyz"
    assert path.read_bytes().decode() == frame.format(1) + "\0" + frame.format(2)


def test_the_tables_are_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    show_rates("Title", "requests", [row(1000, 3000, 2000), Row("other", (Sample(5, 6),))])
    show_targets([TargetCheck("faster", 6.5, 7), TargetCheck("soon", 399.6, 400, False, "us")])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert ["what", "requests/s", "min to max", "CPU a request", "p50"] in lines
    assert ["row", "2,000", "1,000 to 3,000", "500 us", "0 us"] in lines
    assert ["other", "5", "5 to 5", "6 us", ""] in lines
    assert ["faster", "6.5 x", "at least 7 x", "missed"] in lines
    assert ["soon", "400 us", "at most 400 us", "met"] in lines


def test_the_growth_of_a_cost_is_that_of_the_usual_call() -> None:
    view, take, gone = Step("waiting", "look", "view"), Step("waiting", "take", "take"), Step("waiting", "x", "x")
    small = {view: [1000.0, 1100, 5000, 6000], take: [10.0], gone: [1.0]}
    large = {take: [199.0], view: [3000.0, 3300, 3400, 9000]}
    assert compare(small, large) == [Growth(take, 10, 199, 199, 199, 1), Growth(view, 1100, 3300, 3350, 9000, 4)]
    assert [growth.factor for growth in compare(small, large)] == [1, 3]  # what is below the noise has not grown


def test_the_life_of_a_job_is_counted_in_floors() -> None:
    lives = [Life(20, 10, 20, floor_us) for floor_us in (10, 25, 20)]
    assert lives[0].sum_us == 50
    assert target_check(16, lives).value == 2.5
    assert target_check(16, lives).met


def test_a_percentile_is_a_value_that_was_measured() -> None:
    ordered = [float(value) for value in range(1, 201)]
    assert (percentile(ordered, 0.5), percentile(ordered, 0.99), percentile(ordered, 1)) == (100, 198, 200)
    assert percentile([7.0], 0.99) == 7
