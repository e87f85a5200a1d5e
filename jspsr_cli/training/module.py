"""One training step and one evaluation, as the training library wants them."""

import json
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, optim
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from jspsr_cli.assess.metrics import Metrics, compare, mean_metrics, sample_metrics
from jspsr_cli.errors import TrainingDiverged
from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.crops import Crops
from jspsr_cli.training.losses import losses_of
from jspsr_cli.training.schedule import learning_rates, make_optimizer
from jspsr_cli.types import FloatArray
from jspsr_models import JSPSR

# Crops of the batch that diverged, in the run folder.
DIVERGED = "diverged_batch.json"

#: metrics of the network's output, and of the upsampled input, of one crop
Judged = tuple[Metrics, Metrics]


class TrainingModule(pl.LightningModule):
    """The network in training. Batches are collated items of `Crops`.

    `result` are the metrics of the last evaluation, of the network and of the upsampled input, or None before one;
    `pictures` the crops of it that are to be shown.
    """

    def __init__(self, network: JSPSR, config: TrainingConfig, *, training: Crops, folder: Path) -> None:
        super().__init__()
        self.network = network.train()  # loaded weights come in evaluation mode, and the library leaves it so
        self.average: AveragedModel | None = None
        if config.ema is not None:
            average = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True).requires_grad_(False)
        self.result: Judged | None = None
        self.pictures: list[dict[str, FloatArray]] = []
        self._config, self._training_crops, self._folder = config, training, folder
        self._scale = HeightScale(*config.height_range)
        self._rates = learning_rates(config)
        self._judged: dict[int, Judged] = {}

    @property
    def batch_size(self) -> int:
        """Crops in a training batch, of all devices together."""
        return self._config.train_batch_size

    @property
    def result_network(self) -> JSPSR:
        """The network that is evaluated and saved: the averaged one where there is one."""
        return self.network if self.average is None else cast(JSPSR, self.average.module)

    def configure_optimizers(self) -> optim.Optimizer:
        """The optimiser of the configuration; the learning rate is set at the start of every epoch."""
        return make_optimizer(self._config, self.network.parameters())

    def on_train_epoch_start(self) -> None:
        """Set the learning rate."""
        rate = self._rates[self.current_epoch]
        for group in cast(optim.Optimizer, self.optimizers(use_pl_optimizer=False)).param_groups:
            group["lr"] = rate
        self.log("lr", rate)

    def training_step(self, batch: dict[str, Tensor], _number: int) -> Tensor:
        """The loss of a batch.

        Raises:
            TrainingDiverged: it is no number; which crops were in the batch lies in the run folder.
        """
        losses = losses_of(self._predict(self.network, batch), batch["target"], weights=self._config.loss)
        if not torch.isfinite(losses["total"]):
            self._note_batch(batch)
        size = len(batch["dem"])
        self.log_dict({f"train_{name}": loss.detach() for name, loss in losses.items()}, on_step=False, on_epoch=True,
                      batch_size=size, sync_dist=True)  # fmt: skip
        return losses["total"]

    def on_train_batch_end(self, *_: Any) -> None:
        """Take the new weights into the average."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Forget the evaluation before."""
        self.result, self._judged, self.pictures = None, {}, []

    def validation_step(self, batch: dict[str, Tensor], _number: int) -> None:
        """Compare the crops of a batch with their truth."""
        if self.current_epoch + 1 < self._config.val_start_epoch:
            return
        predicted = self._predict(self.result_network, batch)
        if not torch.isfinite(predicted).all():
            raise TrainingDiverged(
                f"The weights after epoch {self.current_epoch + 1} give no heights: the same command goes on from the "
                "epoch before; lower the learning rate, and give --restart for it."
            )
        loss = losses_of(predicted, batch["target"], weights=self._config.loss)["total"]
        self.log("val_loss", loss, batch_size=len(predicted), sync_dist=True)
        arrays = {name: value.cpu().numpy() for name, value in {**batch, "predicted": predicted.float()}.items()}
        for i, index in enumerate(arrays["index"].tolist()):
            truth = arrays["target"][i, 0]
            output, before = (
                compare(arrays[name][i, 0], truth, scale=self._scale, border=self._config.val_border)
                for name in ("predicted", "dem")
            )
            if output.errors.size:
                self._judged[index] = (sample_metrics(output), sample_metrics(before))
            first = self._config.val_id_visual
            if first <= index < first + self._config.val_num_visual:
                self.pictures.append({name: plane[i] for name, plane in arrays.items() if np.ndim(plane[i])}
                                     | {"base": arrays["base"][i]})  # fmt: skip

    def on_validation_epoch_end(self) -> None:
        """Average over all crops, those of the other processes too."""
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, self._judged)
            self._judged = {index: judged for part in parts for index, judged in part.items()}
        if not self._judged:
            return
        # In the order of the crops, so that the mean does not depend on how they were shared out.
        judged = [self._judged[index] for index in sorted(self._judged)]
        self.result = (mean_metrics([output for output, _ in judged]), mean_metrics([before for _, before in judged]))
        for name, value in vars(self.result[0]).items():
            self.log(f"val_{name}", abs(value))  # for early stopping: no median is better than 0
        self.log("input_rmse", self.result[1].rmse)

    def _predict(self, network: torch.nn.Module, batch: dict[str, Tensor]) -> Tensor:
        predicted: Tensor = network(batch["dem"], **{guide: batch[guide] for guide in self._config.inputs})
        return predicted

    def _note_batch(self, batch: dict[str, Tensor]) -> None:
        names = [self._training_crops.name(index) for index in batch["index"].tolist()]
        path = self._folder / DIVERGED
        places = [(int(row), int(col)) for row, col in zip(batch["row"], batch["col"], strict=True)]
        path.write_text(json.dumps({"epoch": self.current_epoch + 1, "crops": names, "row_col": places}, indent=1))
        raise TrainingDiverged(
            f"The loss of a batch in epoch {self.current_epoch + 1} is no number: look at the samples listed in "
            f"{path}, or lower the learning rate."
        )
