"""A job of several strips that can be broken off anywhere."""

from pathlib import Path

import pytest
import torch

from jspsr_cli.request import EnhanceOptions
from tests.test_output import Job

#: Six strips of windows of 32 pixels, each of several batches.
OPTIONS = EnhanceOptions(window=32, overlap=0.5, batch_size=2)


class Lifted:
    """A network that is no identity, whose `limit`-th call fails with `error`."""

    def __init__(self, limit: int | None = None, error: BaseException | None = None) -> None:
        self.calls, self.limit, self.error = 0, limit, error or RuntimeError("no")

    def __call__(self, dem: torch.Tensor, *, image: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        if self.calls == self.limit:
            raise self.error
        self.calls += 1
        return dem + 0.01 * image.mean(dim=1, keepdim=True)


def made_at_once(job: Job) -> tuple[bytes, int]:
    """The output of an uninterrupted run, and its number of batches."""
    network = Lifted()
    job.run(network)
    content = job.output.read_bytes()
    job.output.unlink()
    return content, network.calls


def folder_of(job: Job) -> Path:
    return job.output.with_name("out.tif.partial")


def listing(job: Job) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder_of(job).iterdir()}


def break_off(job: Job, limit: int = 25, error: BaseException | None = None) -> None:
    """Leave unfinished work."""
    error = error or RuntimeError("no")
    with pytest.raises(type(error)) as raised:
        job.run(Lifted(limit, error))
    assert "the same command goes on" in " ".join(getattr(raised.value, "__notes__", []))
    assert (folder_of(job) / "state.npz").exists()
