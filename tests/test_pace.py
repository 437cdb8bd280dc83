"""How many threads the clock chooses."""

import numpy as np

from skl_sae import _crew


def test_a_pace_keeps_to_a_limit_that_changes():
    pace, rng = _crew.Pace(), np.random.default_rng(0)
    for _ in range(2000):
        most, cost = int(rng.integers(1, 9)), 10.0 ** rng.integers(0, 9)
        number, part = pace.choose(most, cost, int(rng.integers(100)))
        assert 1 <= number <= most
        assert part > 0
        pace.record(number, part, part * 1e-4 * rng.uniform(0.5, 1) / number)


def test_the_clock_decides_how_many_threads_work():
    pace, seconds = _crew.Pace(), {1: 1e-4, 2: 6e-5, 4: 9e-5}

    def numbers_of(calls):
        numbers = []
        for _ in range(calls):
            number, cost = pace.choose(4, 1e9, 1000)
            pace.record(number, cost, cost * seconds[number])
            numbers.append(number)
        return numbers

    assert numbers_of(200).count(2) > 180
    assert pace.choose(4, 1e9, 1000)[0] == 2
    seconds[2] = 1e-3  # the machine has become busy
    assert numbers_of(20).count(2) <= 4  # trials
    assert pace.choose(1, 1e9, 1000)[0] == 1
    assert pace.choose(4, 0.1, 1)[0] == 1  # too little to wake anybody
    assert pace.choose(4, 1e3, 10**6)[0] == 1  # too many meetings


def test_calls_too_short_to_judge_by_do_not_count():
    pace = _crew.Pace()
    for _ in range(5):  # evaluations of a small model, the first of which was slow
        number, cost = pace.choose(4, 8, 7)
        assert number == 1
        pace.record(number, cost, 1e-4)
