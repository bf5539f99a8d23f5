"""Linear algebra in one thread, so that numbers do not depend on the machine's cores."""

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from iblnm.config import Settings
from iblnm.pipeline.stage import Result, Stage
from iblnm.threads import one_thread


def threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_one_thread_whatever_was_set_and_as_before_afterwards():
    scipy.linalg.norm(np.ones(3))
    with threadpool_limits(2):
        with one_thread():
            assert threads() == {1}
        assert threads() == {2}


def counted(settings) -> Result:
    """Threads of each library."""
    return Result(threads())


def test_a_stage_computes_in_one_thread():
    with threadpool_limits(2):
        stage = Stage("counted", counted, group="sessions", h5_group="trials")
        assert stage.run({}, settings=Settings()).value == {1}
