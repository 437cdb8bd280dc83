"""Any data and any parameters: a correct result, or an error that was meant."""

import os

from cases import cases
from cases_run import run
from hypothesis import HealthCheck, given, settings

EXAMPLES = int(os.environ.get("SKL_SAE_FUZZ", 300))


@given(cases())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="SKL_SAE_FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_every_case_ends_in_a_result_or_a_deliberate_error(case):
    run(case)
