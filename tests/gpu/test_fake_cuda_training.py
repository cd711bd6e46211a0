"""A trained method's step on a GPU, as far as a machine without one can see it.

Once it is warm, a step hands over what was drawn on the host from pinned memory, outside of
the graph, and nothing else passes between host and device.
"""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from bench.api import Budget, Context
from bench.training.capture import WARMUP
from bench.training.loop import run_training
from bench_bicyclegan.config import BicycleGANConfig
from bench_cut.config import CUTConfig, FastCUTConfig
from bench_cyclegan.config import CycleGANConfig
from bench_munit.config import MUNITConfig
from tests.fake_cuda import CUDA, PAGEABLE, PINNED, WAIT, fake_cuda
from tests.trainers import METHODS, pictures, trainer_of


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_a_step_is_captured_and_waits_for_nothing(name, precision):
    told = []
    with fake_cuda() as gpu:
        ctx = Context(CUDA, precision=precision, emit=told.append)
        trainer, drawn = trainer_of(name, ctx, ema=0.9)
        for optimizer in trainer.optimizers.values():
            # Warn, if there is a reason to: warnings are errors here.
            optimizer._warned_capturable_if_run_uncaptured = False
        for iteration in range(WARMUP + 2):
            gpu.clear()
            losses = trainer.step(iteration, 100)
            assert all(loss.device == CUDA and loss.ndim == 0 for loss in losses.values())
            assert all(loss.dtype == torch.float32 for loss in losses.values())
            assert trainer.runs[0].captured == (iteration >= WARMUP)
            if iteration == 0:
                continue  # the warm-up: rates and constants are made
            assert gpu.of(PAGEABLE) == []
            # Which images and how they are cut, of both domains, and what the method draws.
            assert len(gpu.of(PINNED)) == 4 + drawn
            assert not any(event.recording for event in gpu.events)
            # The graph is recorded once all that went before is done.
            waits = [event.what for event in gpu.of(WAIT)]
            assert waits == (["torch.cuda.synchronize"] if iteration == WARMUP else [])
        assert gpu.replays == 2
    assert [event for event in told if event.kind == "warning"] == []


def test_each_course_of_a_step_has_its_graph():
    """FastCUT's: the generators get images as they are, or mirrored."""
    with fake_cuda() as gpu:
        trainer, drawn = trainer_of("fastcut", Context(CUDA))
        done = [0, 0]
        while not trainer.settled:
            iteration = sum(done)
            course = int(trainer.mirrored(iteration))
            gpu.clear()
            trainer.step(iteration, 100)
            done[course] += 1
            assert [run.captured for run in trainer.runs] == [count > WARMUP for count in done]
            if min(done) > 0:
                assert gpu.of(PAGEABLE) == [] and len(gpu.of(PINNED)) == 4 + drawn
                assert not any(event.recording for event in gpu.events)
        assert min(done) == WARMUP + 1
        trainer.close()
        assert not any(run.captured for run in trainer.runs)


@pytest.mark.parametrize("name", METHODS)
def test_without_a_graph_it_waits_for_nothing_either(name):
    with fake_cuda() as gpu:
        trainer, drawn = trainer_of(name, Context(CUDA), capture=False)
        trainer.step(0, 100)
        for iteration in (1, 2):
            gpu.clear()
            trainer.step(iteration, 100)
            assert not trainer.runs[0].captured and trainer.settled
            assert gpu.of(PAGEABLE, WAIT) == [] and len(gpu.of(PINNED)) == 4 + drawn
        assert gpu.replays == 0


def test_capture_can_be_switched_off_everywhere():
    for config in (MUNITConfig, CycleGANConfig, CUTConfig, FastCUTConfig, BicycleGANConfig):
        assert config().capture and not config(capture=False).capture


@pytest.mark.parametrize("name", METHODS)
def test_images_that_do_not_fit_are_sent_a_step_ahead(name):
    pixels = 2 * pictures().a.nbytes
    with fake_cuda(memory=4 * pixels - 1) as gpu:
        trainer, drawn = trainer_of(name, Context(CUDA))
        for iteration in range(WARMUP + 2):
            gpu.clear()
            trainer.step(iteration, 100)
            if iteration == 0:
                continue
            assert gpu.of(PAGEABLE) == []
            sent = [event for event in gpu.of(PINNED) if "uint8" in event.what]
            # In the place of "which images", the next step's images of both domains.
            assert len(sent) == 2 and len(gpu.of(PINNED)) == 4 + drawn
            assert not any(event.recording for event in gpu.events)
        assert gpu.replays == 2
    with fake_cuda(memory=4 * pixels) as gpu:
        trainer, _ = trainer_of(name, Context(CUDA))
        gpu.clear()
        trainer.step(0, 100)
        assert not any("uint8" in event.what for event in gpu.events)


@pytest.mark.parametrize("name", METHODS)
def test_a_training_gives_back_its_graph(name):
    with fake_cuda():
        trainer, _ = trainer_of(name, Context(CUDA))
        step, kept = trainer.step, []

        def watched(iteration, total):
            losses = step(iteration, total)
            if trainer.runs[0]._graph is not None and not kept:
                kept.append(trainer.runs[0]._graph)
            if iteration == WARMUP + 1:
                raise KeyboardInterrupt
            return {key: torch.ones(()) for key in losses}

        trainer.step = watched
        with pytest.raises(KeyboardInterrupt):
            run_training(trainer, Budget(iterations=100), Context(CUDA))
        (graph,) = kept
        assert graph.reset_calls == 1 and not trainer.runs[0].captured
        gradients = [p.grad for module in trainer.modules.values() for p in module.parameters()]
        assert gradients and all(gradient is None for gradient in gradients)
        # The trainer lives on, in a circle of references; what was in the graph does not.
        gone = [weakref.ref(x) for x in (graph, *trainer.runs[0]._outputs.values())]
        del graph, kept[:]
        assert [ref() for ref in gone] == [None] * len(gone)
        gc.collect()
