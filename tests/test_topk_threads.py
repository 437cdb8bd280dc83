"""The bits of top-k autoencoders do not depend on the number of threads."""

import numpy as np
import pytest
import topk_reference as reference
from test_topk_kernels import DTYPES, adam_state, objective_of

from skl_sae import _crew
from skl_sae._objectives import topk


class Fixed(_crew.Pace):
    """The same number of threads in every call, and several calls."""

    number = 1

    def choose(self, most, cost, n_phases):
        return self.number, cost / 3 + 0.1

    def record(self, number, cost, seconds):
        """The clock does not count."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize(("n", "d", "m", "k", "batch_size"), [(300, 20, 40, 4, 64), (700, 60, 200, 8, 256)])
def test_the_bits_do_not_depend_on_the_number_of_threads(n, d, m, k, batch_size, by_batch, dtype, monkeypatch, rng):
    monkeypatch.setattr(topk, "Pace", Fixed)
    model, X = reference.Model.random(rng, d, m, k, by_batch, dtype), rng.normal(size=(n, d)).astype(dtype)
    results = []
    for number, spin in [(1, 0), (2, _crew.SPIN), (3, 0), (8, 0)]:  # without spinning every wait is a sleep
        monkeypatch.setattr(Fixed, "number", number)
        monkeypatch.setattr(_crew, "SPIN", spin)
        theta = model.theta
        objective, state = objective_of(X, model, batch_size=batch_size, crew=_crew.Crew(8)), adam_state(theta)
        losses = [objective.adam_epoch(theta, state, np.arange(n)).loss for _ in range(2)]
        results.append(np.concatenate([theta, losses]))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
