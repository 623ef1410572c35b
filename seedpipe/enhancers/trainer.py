"""The trainer of SEED and the regression: fresh diffusion noise at every step, or none.

Losses stay on the device until a point of the curve, noise and timesteps are drawn where the embeddings are, and no
Python runs per row. Shapes: B rows of a batch, V variants (the first is clean), D embedding dimension.

Source: SEED, section 3.3, eq. (9): the clean embedding x_0 is predicted from x_t and from every y_t^k.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from seedpipe.enhancers.base import TrainingPoint
from seedpipe.enhancers.checkpoint import Checkpoint
from seedpipe.enhancers.data import EmbeddingLoader
from seedpipe.enhancers.diffusion import Schedule, SeedMLP
from seedpipe.enhancers.graph import StepGraph
from seedpipe.errors import ModelError
from seedpipe.params import TrainParams

CHECKPOINT = "checkpoint.safetensors"
WARMUP_STEPS = 100
POINT_STEPS = 100  # where an epoch is longer than this and than a tenth of the training
MOST_POINTS = 30  # where epochs are short: each costs a pass over the held-out rows and a checkpoint


def precision(wanted: str, device: torch.device) -> str:
    """Resolve ``train.precision``: ``auto`` is bfloat16 where the hardware multiplies matrices in it."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bfloat16" if native else "float32"


class Trainer:
    """Weights, their moving average, optimiser and generator, and what a step does to them.

    The curve has a point at the end of each epoch and of the training; where an epoch is longer than 100 steps and than
    a tenth of the training, also after each of these stretches in it.

    What a step makes smaller is :meth:`_distance`: a further term of the objective belongs there.

    It begins with new weights, or goes on from a :class:`~seedpipe.enhancers.checkpoint.Checkpoint`. A regression
    differs in its schedule alone, which has one timestep and adds no noise.
    """

    step: int
    """Steps taken."""
    curve: tuple[TrainingPoint, ...]

    def __init__(
        self,
        loader: EmbeddingLoader,
        params: TrainParams,
        device: torch.device,
        skip: Tensor | None = None,
        *,
        diffusion: bool = True,
    ) -> None:
        self.loader, self.params, self.device = loader, params, device
        self.batch_rows = min(params.batch_rows, loader.count)
        self.epoch_steps = loader.count // self.batch_rows
        self.steps = params.epochs * self.epoch_steps or params.steps
        self.generator = torch.Generator(device).manual_seed(params.seed)
        self._epoch_start = self.generator.get_state()
        self.network = _seeded_network(loader.held_out.embeddings.shape[2], params.seed, skip).to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.schedule = (Schedule.of(params) if diffusion else Schedule("none")).to(device)
        self.optimizer = _optimizer(self.network, params, device)
        self._follow = torch.zeros((), device=device)  # how far the average goes towards new weights
        self.held_out = loader.normalization(loader.held_out.embeddings.to(device))
        graph = params.cuda_graph and device.type == "cuda"
        self._take = StepGraph(self._take_step, self.generator) if graph else self._take_step
        self._losses: list[Tensor] = []  # since the last point of the curve
        self._go_on(0, ())

    def points(self) -> Iterator[TrainingPoint]:
        """Train from where the curve ends; gives each new point of it.

        Raises
        ------
        ModelError
            A loss or a weight is not finite; the text names the step.
        """
        while self.step < self.steps:
            yield from self._epoch()

    def _epoch(self) -> Iterator[TrainingPoint]:
        """Go through the rows once, or as far as the steps reach."""
        begun, apart = self.step % self.epoch_steps, max(POINT_STEPS, self.steps // 10)
        for number, batch in enumerate(self.loader.batches(self.batch_rows, self.generator), 1):
            if number <= begun:  # before an interruption: drawn again, so that the generator is where it was
                self._draw(self.loader.gather(batch), self.generator)
                continue
            self._losses.append(self.training_step(batch))
            if self.step == self.steps:
                break
            if number % apart == 0 and number < self.epoch_steps:
                yield self._point()
        self._epoch_start = self.generator.get_state()
        if self.step == self.steps or len(self._losses) >= self.steps // MOST_POINTS:
            yield self._point()

    def _point(self) -> TrainingPoint:
        """The next point of the curve, over the losses of the steps since the last one."""
        since, self._losses = torch.stack(self._losses), []
        point = TrainingPoint(self.step, since.mean().item(), self._validate())
        self._expect_finite(point, since)
        self.curve = (*self.curve, point)
        return point

    def training_step(self, batch: Tensor) -> Tensor:
        """Take one step on a batch of the loader; gives the loss, which stays on the device."""
        self.step += 1
        # A young average follows quickly, or it would keep the zeros that the network starts from.
        decay = min(self.params.ema_decay, (1 + self.step) / (10 + self.step)) if self.params.ema_decay else 0.0
        self._follow.fill_(1 - decay)
        loss = self._take(batch)
        self.learning_rate.step()
        return loss

    def _take_step(self, batch: Tensor) -> Tensor:
        loss = self._distance(self.network, *self._draw(self.loader.gather(batch), self.generator))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.params.gradient_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.params.gradient_norm)
        self.optimizer.step()
        for mean, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(weight.detach(), self._follow)
        return loss.detach()

    def checkpoint(self) -> Checkpoint:
        """What :meth:`restore` needs to go on from here bit for bit."""
        tensors = {"generator": self._epoch_start}
        for (name, weight), mean in zip(self.network.named_parameters(), self.average.parameters(), strict=True):
            moments = self.optimizer.state[weight]
            tensors |= {
                f"network.{name}": weight.detach(),
                f"average.{name}": mean,
                f"exp_avg.{name}": moments["exp_avg"],
                f"exp_avg_sq.{name}": moments["exp_avg_sq"],
            }
        return Checkpoint(tensors, self.step, self.curve)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of a training on the same rows with the same parameters."""
        self._epoch_start = checkpoint.tensors["generator"]
        self.generator.set_state(self._epoch_start)
        moments = {}
        for number, (name, weight) in enumerate(self.network.named_parameters()):
            weight.data.copy_(checkpoint.tensors[f"network.{name}"])
            self.average.get_parameter(name).copy_(checkpoint.tensors[f"average.{name}"])
            moments[number] = {
                "step": torch.tensor(float(checkpoint.step)),
                "exp_avg": checkpoint.tensors[f"exp_avg.{name}"],
                "exp_avg_sq": checkpoint.tensors[f"exp_avg_sq.{name}"],
            }
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._go_on(checkpoint.step, checkpoint.curve)

    def _go_on(self, step: int, curve: tuple[TrainingPoint, ...]) -> None:
        self.step, self.curve = step, curve
        self._losses.clear()
        self.learning_rate = LambdaLR(self.optimizer, self._annealing, step - 1)

    def _annealing(self, step: int) -> float:
        return _cosine(step, self.steps) if self.params.learning_rate_schedule == "cosine" else 1.0

    def _draw(self, batch_BVD: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Noised embeddings y_t (B * V, D), the clean ones x_0 that they stand for, and their timesteps."""
        y_0 = batch_BVD.flatten(0, 1)
        x_0 = batch_BVD[:, :1].expand_as(batch_BVD).flatten(0, 1)
        t = torch.randint(0, len(self.schedule.alphas_cumprod), (len(y_0),), generator=generator, device=y_0.device)
        eps = torch.randn(y_0.shape, generator=generator, device=y_0.device)
        return self.schedule.add_noise(y_0, eps, t), x_0, t

    def _distance(self, network: nn.Module, y_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.params.precision == "bfloat16"):
            prediction = self.schedule.predict(network, y_t, t)
        return distance(prediction, x_0, self.params.loss)

    def _validate(self) -> float | None:
        """Loss of the averaged weights on the held-out rows, with the same noise each time."""
        if not len(self.held_out):
            return None
        with torch.inference_mode():
            generator = torch.Generator(self.device).manual_seed(0)
            return self._distance(self.average, *self._draw(self.held_out, generator)).item()

    def _expect_finite(self, point: TrainingPoint, losses: Tensor) -> None:
        norm = nn.utils.get_total_norm([weight.detach() for weight in self.network.parameters()])
        bad = (~losses.isfinite()).nonzero()
        if not len(bad) and norm.isfinite() and math.isfinite(point.validation or 0.0):
            return
        last = int(bad[0]) if len(bad) else len(losses) - 1
        raise ModelError(
            f"the loss is {losses[last].item()} at step {self.step - len(losses) + last + 1} of {self.steps},"
            f" on held-out utterances {point.validation}" + ("" if len(bad) else ", and weights are not finite"),
            expected="a finite loss",
            remedy="lower train.learning_rate",
        )


def distance(prediction: Tensor, x_0: Tensor, loss: str) -> Tensor:
    """The loss between predictions and clean embeddings (B, D)."""
    if loss == "l1":
        return functional.l1_loss(prediction, x_0)
    if loss == "mse":
        return functional.mse_loss(prediction, x_0)
    if loss == "huber":
        return functional.huber_loss(prediction, x_0)
    norm: Tensor = torch.linalg.vector_norm(prediction - x_0, dim=1).mean()  # eq. (9)
    return norm


def _optimizer(network: nn.Module, params: TrainParams, device: torch.device) -> torch.optim.Optimizer:
    """AdamW, whose learning rate is a tensor, which a captured step reads anew each time."""
    gpu = device.type == "cuda"
    rate = torch.tensor(params.learning_rate, dtype=torch.float32 if gpu else torch.float64, device=device)
    weights = [{"params": list(network.parameters()), "initial_lr": params.learning_rate}]
    return torch.optim.AdamW(weights, lr=rate, weight_decay=params.weight_decay, fused=True, capturable=gpu)


def _cosine(step: int, total: int) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to zero."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / total))


def _seeded_network(dimension: int, seed: int, skip: Tensor | None) -> SeedMLP:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach the generators of GPUs, too
        return SeedMLP(dimension, skip)
