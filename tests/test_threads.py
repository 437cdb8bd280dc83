"""How many threads the matrix products may use."""

import os
import subprocess
import sys
import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from skl_sae._threads import WORTH_THREADS, blas_threads

SMALL, LARGE = (100, 10, 10), (WORTH_THREADS, 1, 1)


def numbers():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture(autouse=True)
def two_threads():
    """Two threads to start with, also where the environment allows one."""
    with threadpool_limits(2, user_api="blas"):
        if set(numbers()) != {2}:
            pytest.skip("BLAS cannot be given two threads here")
        yield
        assert set(numbers()) == {2}


def test_small_work_gets_one_thread():
    with blas_threads(*SMALL):
        assert set(numbers()) == {1}
    with blas_threads(*LARGE):
        assert set(numbers()) == {2}


def test_an_exception_gives_the_threads_back():
    with pytest.raises(KeyError), blas_threads(*SMALL):
        raise KeyError


def test_a_limit_of_the_user_is_kept():
    with threadpool_limits(1, user_api="blas"):
        with blas_threads(*LARGE):
            assert set(numbers()) == {1}
        assert set(numbers()) == {1}


def test_concurrent_work_gets_one_thread_each():
    inside, leave = threading.Event(), threading.Event()

    def work():
        with blas_threads(*LARGE):
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=work)
    with blas_threads(*LARGE):
        assert set(numbers()) == {2}
        other.start()
        assert inside.wait(10)
        assert set(numbers()) == {1}
    assert set(numbers()) == {2}  # one computation is left
    leave.set()
    other.join()


def test_another_thread_gets_it_too():
    seen = []

    def work():
        with blas_threads(*SMALL):
            seen.extend(numbers())

    with blas_threads(*SMALL):
        pass
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert set(seen) == {1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_fits():
    """The child is forked while a computation of the parent is under way."""
    code = """
import os, sys, warnings
import numpy as np
from skl_sae import SparseAutoencoderTransformer
from skl_sae._threads import blas_threads
warnings.simplefilter("ignore")
X = np.random.default_rng(0).uniform(size=(200, 10))
fit = lambda: SparseAutoencoderTransformer(5, max_iter=5, random_state=0).fit(X).encoder_coef_
expected = fit()
with blas_threads(2**23, 1, 1), blas_threads(2**23, 1, 1):
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(fit(), expected) else 1)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
