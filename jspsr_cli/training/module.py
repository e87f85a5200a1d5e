"""One training step and one evaluation, as the training library wants them."""

import json
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, optim
from torch.nn.utils import parameters_to_vector
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
from jspsr_models.files import appearing

# Crops of the batch that diverged, in the run folder.
DIVERGED = "diverged_batch.json"

#: metrics of the network's output, and of the upsampled input, of one crop
Judged = tuple[Metrics, Metrics]

T = TypeVar("T")


class TrainingModule(pl.LightningModule):
    """The network in training. Batches are collated items of `Crops`.

    Several processes agree on what ends the training: one that left the others alone would have them wait for ever.

    `result` are the metrics of the last evaluation, of the network and of the upsampled input, or None before one;
    `pictures` the crops of it that are to be shown, by name.
    """

    def __init__(
        self, network: JSPSR, config: TrainingConfig, *, training: Crops, validation: Crops, folder: Path
    ) -> None:
        super().__init__()
        # Loaded weights come in evaluation mode, and the library leaves it so. Channels last is fast where channels are
        # few: 1.4 times on a CPU, 2.4 times with bfloat16.
        self.network = network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: AveragedModel | None = None
        if config.ema is not None:
            average = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True).requires_grad_(False)
        self.result: Judged | None = None
        self.pictures: dict[str, dict[str, FloatArray]] = {}
        self._config, self._folder = config, folder
        self._training_crops, self._validation_crops = training, validation
        first = config.val_id_visual % len(validation)
        self._pictured = range(first, first + config.val_num_visual)
        self._scale = HeightScale(*config.height_range)
        self._rates = learning_rates(config)
        self._judged: dict[int, Judged] = {}
        self._shown: dict[int, dict[str, FloatArray]] = {}
        self._no_heights = False

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
        diverged = not torch.isfinite(losses["total"])
        if self.trainer.strategy.reduce_boolean_decision(diverged, all=False):
            self._note_batch(batch if diverged else None)
        size = len(batch["dem"])
        self.log_dict({f"train_{name}": loss.detach() for name, loss in losses.items()}, on_step=False, on_epoch=True,
                      batch_size=size, sync_dist=True)  # fmt: skip
        return losses["total"]

    def on_train_batch_end(self, *_: Any) -> None:
        """Take the new weights into the average, and look at them before they are evaluated and kept.

        Raises:
            TrainingDiverged: after the last batch of an epoch they are no numbers.
        """
        if self.trainer.world_size > 1 and self.device.type != "cuda":
            self._share_statistics()
        if self.average is not None:
            self.average.update_parameters(self.network)
        if self.trainer.is_last_batch and not all(value.isfinite().all() for value in self.state_dict().values()):
            self._diverged("are no numbers")

    def on_validation_epoch_start(self) -> None:
        """Forget the evaluation before."""
        self.result, self._judged, self.pictures = None, {}, {}
        self._shown, self._no_heights = {}, False

    def validation_step(self, batch: dict[str, Tensor], _number: int) -> None:
        """Compare the crops of a batch with their truth."""
        if self.current_epoch + 1 < self._config.val_start_epoch and not self.trainer.sanity_checking:
            return
        predicted = self._predict(self.result_network, batch)
        loss = losses_of(predicted, batch["target"], weights=self._config.loss)["total"]
        self.log("val_loss", loss, batch_size=len(predicted), sync_dist=True)
        if not torch.isfinite(predicted).all():
            self._no_heights = True
            return
        arrays = {name: value.cpu().numpy() for name, value in {**batch, "predicted": predicted.float()}.items()}
        for i, index in enumerate(arrays["index"].tolist()):
            truth = arrays["target"][i, 0]
            output, before = (
                compare(arrays[name][i, 0], truth, scale=self._scale, border=self._config.val_border)
                for name in ("predicted", "dem")
            )
            if output.errors.size:
                self._judged[index] = (sample_metrics(output), sample_metrics(before))
            if index in self._pictured:
                planes = {name: plane[i] for name, plane in arrays.items() if np.ndim(plane[i])}
                self._shown[index] = {**planes, "base": arrays["base"][i]}

    def on_validation_epoch_end(self) -> None:
        """Average over all crops, those of the other processes too.

        Raises:
            TrainingDiverged: the network gave a crop heights that are no numbers.
        """
        parts = self._of_all((self._no_heights, self._judged, self._shown))
        if any(no_heights for no_heights, _, _ in parts):
            if self.trainer.sanity_checking:
                self._stop("The weights to begin with give no heights: begin with others.")
            self._diverged("give no heights")
        self._judged = {index: judged for _, part, _ in parts for index, judged in part.items()}
        shown = {index: planes for _, _, part in parts for index, planes in part.items()}
        self.pictures = {self._validation_crops.name(index): shown[index] for index in sorted(shown)}
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

    def _share_statistics(self) -> None:
        """Give the batch-norm statistics of all processes to each, which SyncBatchNorm does on GPUs only."""
        own = [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]
        mean = cast(Tensor, self.trainer.strategy.reduce(parameters_to_vector(own), reduce_op="mean"))
        for buffer, part in zip(own, torch.split(mean, [buffer.numel() for buffer in own]), strict=True):
            buffer.copy_(part.view_as(buffer))

    def _of_all(self, mine: T) -> list[T]:
        """`mine` of every process."""
        if self.trainer.world_size == 1:
            return [mine]
        parts: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(parts, mine)
        return parts

    def _note_batch(self, batch: dict[str, Tensor] | None) -> NoReturn:
        """Write down the batches of all processes whose loss is no number; `batch` is that of this one."""
        crops = batch["index"].tolist() if batch else []
        places = list(zip(batch["row"].tolist(), batch["col"].tolist(), strict=True)) if batch else []
        parts = self._of_all(([self._training_crops.name(index) for index in crops], places))
        noted = {
            "epoch": self.current_epoch + 1,
            "crops": [name for names, _ in parts for name in names],
            "row_col": [place for _, places in parts for place in places],
        }
        path = self._folder / DIVERGED
        if self.trainer.is_global_zero:
            with appearing(path) as part:
                part.write_text(json.dumps(noted, indent=1), encoding="utf-8")
        self._stop(
            f"The loss of a batch in epoch {self.current_epoch + 1} is no number: look at the samples listed in "
            f"{path}, or lower the learning rate."
        )

    def _diverged(self, what: str) -> NoReturn:
        self._stop(
            f"The weights after epoch {self.current_epoch + 1} {what}: the same command goes on from the epoch before; "
            "lower the learning rate, and give --restart for it."
        )

    def _stop(self, sentence: str) -> NoReturn:
        if not self.trainer.is_global_zero:
            # The first process says it. Any other code has the training library kill that one, before it does.
            raise SystemExit(0)
        raise TrainingDiverged(sentence)
