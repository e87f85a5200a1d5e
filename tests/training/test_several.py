"""Several processes that train together. Those of a test are two on the CPU, and really started."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from jspsr_cli.training import hardware
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.hardware import RANKS, Hardware, make_trainer
from tests.training.dataset import write_config
from tests.training.running import Run, state_of
from tests.training.together import apart


def together(change: str, config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Train with two processes and something changed, see `tests.training.together`."""
    command = [sys.executable, "-m", "tests.training.together", change, "train", str(config), "-o", str(folder)]
    options = ["--device", "cpu", "--devices", "2", "--strategy", "ddp", "--json"]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=600, check=False)


def test_two_processes_are_one_run(run: Run, tmp_path: Path, small_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of the same crops give the same weights, but for the order of sums: within 1e-5.

    Batch norm sees half a batch in each process (on CPUs), so here it does not look at the batch; absolute errors turn
    the order of sums into another sign, so here they are squared.
    """
    keys = {"optimizer": "SGD", "optimizer_kwargs": {"lr": 0.01}, "loss": {"L2": 1}, "ema": 0.5, "val_num_visual": 3}
    config = write_config(tmp_path / "config.yaml", small_set, **keys)
    done = together("alike", config, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # so it was written once
    assert done.stderr.count("epoch 2/2") == 1
    monkeypatch.setattr(nn.BatchNorm2d, "forward", apart)
    alone = run("one", keys=keys)
    # Three crops on two processes: each counts once.
    assert report["best"] == pytest.approx(alone.best, rel=1e-6)
    one, two = (state_of(tmp_path / name)["state_dict"] for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)
    sheets = [imread(tmp_path / name / "sheets" / "epoch_0002.png") for name in ("one", "two")]
    assert sheets[0].shape == sheets[1].shape  # all three crops
    assert abs(sheets[0] - sheets[1]).mean() < 1e-3


def test_a_process_that_diverges_ends_all_with_one_sentence(tmp_path: Path, small_set: Path) -> None:
    config = write_config(tmp_path / "config.yaml", small_set)
    done = together("diverging", config, tmp_path / "run")
    assert done.returncode == 1
    *warnings, last = done.stderr.splitlines()
    assert last.startswith("jspsr: error: The loss of a batch in epoch 1 is no number: look at the samples")
    assert [line.split(" is ")[0] for line in warnings] == [
        "jspsr: warning: train_batch_size", "jspsr: warning: patch_size"
    ]  # fmt: skip
    assert len(json.loads((tmp_path / "run" / "diverged_batch.json").read_text())["crops"]) == 1


@pytest.mark.parametrize("rank", RANKS)
def test_who_follows(monkeypatch: pytest.MonkeyPatch, rank: str) -> None:
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    two = Hardware(nodes=2)
    assert not two.follows
    monkeypatch.setenv(rank, "0")
    assert not two.follows
    monkeypatch.setenv(rank, "1")
    assert two.follows
    assert not Hardware().follows  # one of several runs that srun has started


@pytest.mark.parametrize(("device", "devices", "shared"), [("cuda", 2, True), ("cuda", 1, False), ("cpu", 2, False)])
def test_gpus_share_their_batch_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, devices: int, shared: bool
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(pl, "Trainer", lambda **options: seen.update(options))
    monkeypatch.setattr(hardware, "resolve_device", torch.device)
    config = TrainingConfig(
        name="x", train_set=("a",), valid_set=("b",), resolution=8, input_data={"COP30": 1, "image": 3}
    )
    make_trainer(config, Hardware(device=device, devices=devices), tmp_path, [])
    assert seen["sync_batchnorm"] is shared
