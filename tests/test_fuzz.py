"""Any data and any parameters: a correct result, or a deliberate error."""

import os

import pytest
from cases import cases
from cases_run import run
from hypothesis import given, settings

EXAMPLES = int(os.environ.get("SKL_SAE_FUZZ", 300))


@given(cases())
@settings(max_examples=15)
def test_a_few_cases_end_in_a_result_or_a_deliberate_error(case):
    run(case)


@pytest.mark.slow
@given(cases())
@settings(max_examples=EXAMPLES)
def test_every_case_ends_in_a_result_or_a_deliberate_error(case):
    run(case)
