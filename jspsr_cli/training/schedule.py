"""Optimisers, and the learning rate of every epoch."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from jspsr_cli.training.config import OptimizerOptions, SchedulerOptions, TrainingConfig

# The warm-up rises by this factor an epoch.
WARMUP_FACTOR = 10.0

OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], OptimizerOptions], optim.Optimizer]] = {
    "AdamW": lambda parameters, o: optim.AdamW(parameters, lr=o.lr, weight_decay=o.weight_decay),
    "Adam": lambda parameters, o: optim.Adam(parameters, lr=o.lr, weight_decay=o.weight_decay),
    "SGD": lambda parameters, o: optim.SGD(parameters, lr=o.lr, weight_decay=o.weight_decay, momentum=o.momentum),
    "RMSprop": lambda parameters, o: optim.RMSprop(
        parameters, lr=o.lr, weight_decay=o.weight_decay, momentum=o.momentum
    ),
}


def make_optimizer(config: TrainingConfig, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
    """The optimiser of `config`."""
    return OPTIMIZERS[config.optimizer](parameters, config.optimizer_kwargs)


def learning_rates(config: TrainingConfig) -> list[float]:
    """The learning rate of every epoch, known before the first: resuming needs no state of a scheduler."""
    options = config.scheduler_kwargs
    if config.scheduler == "WarmupStepLR":
        highest = options.max_lr if options.max_lr is not None else config.optimizer_kwargs.lr
        return [highest * _warmup_step(epoch, options) for epoch in range(config.epochs)]
    rates = []
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.optimizer_kwargs.lr)
    scheduler = _torch_scheduler(config, optimizer)
    for _ in range(config.epochs):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimiser, which trains nothing, made no step
            if len(rates) < config.epochs:
                scheduler.step()
    return rates


def _warmup_step(epoch: int, options: SchedulerOptions) -> float:
    """Share of the highest rate: a tenth, a hundredth, ... before `warmup_epoch`, then `gamma` to the steps done."""
    if epoch < options.warmup_epoch:
        return WARMUP_FACTOR ** (epoch - options.warmup_epoch)
    return float(options.gamma ** ((epoch - options.warmup_epoch) // options.step_size))


def _torch_scheduler(config: TrainingConfig, optimizer: optim.Optimizer) -> Any:
    options = config.scheduler_kwargs
    match config.scheduler:
        case "StepLR":
            return lr_scheduler.StepLR(optimizer, step_size=options.step_size, gamma=options.gamma)
        case "CosineAnnealingLR":
            return lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs)
        case "OneCycleLR":
            highest = options.max_lr if options.max_lr is not None else config.optimizer_kwargs.lr
            return lr_scheduler.OneCycleLR(
                optimizer, max_lr=highest, total_steps=config.epochs, cycle_momentum=False
            )  # fmt: skip
        case _:
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
