"""A run in this process that ends because the process was asked to end stops the command."""

import os
import signal

import dagster as dg
import pytest

from voice_assets.in_process import run_job
from voice_assets.run_ownership import raise_if_interrupted
from voice_assets.signals import Interrupted


@dg.op
def asked_to_end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@dg.op
def failing() -> None:
    raise ValueError("of its own")


@dg.job
def interrupted_job() -> None:
    asked_to_end()


@dg.job
def failing_job() -> None:
    failing()


def test_a_command_that_is_asked_to_end_during_a_run_stops() -> None:
    with dg.instance_for_test() as instance, pytest.raises(Interrupted):
        run_job(interrupted_job, instance, "demo")


def test_a_run_that_fails_by_itself_does_not_stop_the_command() -> None:
    with dg.instance_for_test() as instance:
        raise_if_interrupted(failing_job.execute_in_process(instance=instance, raise_on_error=False))
