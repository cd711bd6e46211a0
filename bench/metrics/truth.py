"""Distances to the true translation, where a dataset knows it.

With several true translations (modes) an output is held against the nearest of them: which
one it shows is for the method to choose. Which modes a method finds, and in which shares, is
measured on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.api import BenchError, Measurement, MetricContext, NotMeasurable, Picture
from bench.metrics.perceptual import tables_of
from bench.stats import NOT_NEGATIVE, SHARE, Floats, bootstrap_mean

PSNR_CAP = 100.0
"""What identical pictures count as, in dB: an average with infinity says nothing."""
REACH = 0.85
"""How far a mode reaches, as a share of the distance to the next true mode of the scene.

Fresh looks of a mode lie at about half of that distance from the known one, other places
beyond it; a test counts both.
"""
READABLE = 0.3
"""A factor counts when features explain this share of its variance on real test pictures."""
NONE = -1
_WINDOW = 11
_PENALTIES = 10.0 ** np.arange(-2.0, 3.1, 0.5)
_LEAST = 8
_DRAWS = 8


def psnr(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures in dB, at most `PSNR_CAP`."""
    error = float(((a.astype(np.float64) - b.astype(np.float64)) ** 2).mean())
    return PSNR_CAP if error == 0 else min(PSNR_CAP, float(10.0 * np.log10(255.0**2 / error)))


def ssim(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Return the structural similarity (Wang et al. 2004) of 8-bit pictures, in [-1, 1].

    Gaussian window (11 pixels, sigma 1.5), valid positions only, mean over channels.
    """
    from skimage.metrics import structural_similarity

    if min(a.shape[:2]) < _WINDOW:
        raise BenchError(
            f"SSIM needs pictures of at least {_WINDOW} pixels a side, got {a.shape[:2]}"
        )
    # As published: a Gaussian window, and no correction of the covariance for its size.
    return float(
        structural_similarity(
            a,
            b,
            data_range=255,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _table(context: MetricContext, name: str, compare: Callable[..., float]) -> dict[str, Floats]:
    """For each input with truths: samples x truths ``(k, T)``."""

    def make() -> dict[str, Floats]:
        found = {}
        for key in context.ids:
            truths = context.truths.get(key, ())
            if truths:
                found[key] = _compare(context.outputs[key], truths, compare)
        return found

    return context.once(f"truth/{name}", make)


def _compare(
    samples: Sequence[Picture], truths: Sequence[Picture], compare: Callable[..., float]
) -> Floats:
    real = [truth.load() for truth in truths]
    done: dict[str, list[float]] = {}
    for sample in samples:
        if sample.digest not in done:
            pixels = sample.load()
            if any(pixels.shape != truth.shape for truth in real):
                raise BenchError(
                    f"output {sample.id} is {pixels.shape[1]}x{pixels.shape[0]}, its truth is "
                    f"{real[0].shape[1]}x{real[0].shape[0]}: they must have one size"
                )
            done[sample.digest] = [compare(pixels, truth) for truth in real]
    return np.array([done[sample.digest] for sample in samples])


def _yield(
    context: MetricContext,
    name: str,
    tables: dict[str, Floats],
    *,
    higher: bool,
    within: tuple[float, float],
) -> Iterator[Measurement]:
    """The value to the nearest truth, of the mean sample and of the best one; and to the pair."""
    pick = np.max if higher else np.min
    nearest = {key: pick(table, axis=1) for key, table in tables.items()}
    yield context.measurement(
        name,
        bootstrap_mean([float(values.mean()) for values in nearest.values()], within=within),
        n=len(nearest),
        per_sample=context.per_sample(list(nearest.values()), list(nearest)),
    )
    if context.samples > 1:
        yield context.measurement(
            f"{name}_best_of_k",
            bootstrap_mean([float(pick(values)) for values in nearest.values()], within=within),
            n=len(nearest),
        )
    if any(table.shape[1] > 1 for table in tables.values()):
        yield context.measurement(
            f"{name}_pair",
            bootstrap_mean([float(table[:, 0].mean()) for table in tables.values()], within=within),
            n=len(tables),
        )


def measure_psnr(context: MetricContext) -> Iterator[Measurement]:
    """``psnr`` to the nearest truth, ``psnr_best_of_k`` of the samples, ``psnr_pair``."""
    table = _table(context, "psnr", psnr)
    return _yield(context, "psnr", table, higher=True, within=(0.0, PSNR_CAP))


def measure_ssim(context: MetricContext) -> Iterator[Measurement]:
    """``ssim`` to the nearest truth, ``ssim_best_of_k`` of the samples, ``ssim_pair``."""
    table = _table(context, "ssim", ssim)
    return _yield(context, "ssim", table, higher=True, within=(-1.0, 1.0))


def measure_perceptual(context: MetricContext) -> Iterator[Measurement]:
    """``lpips_truth`` to the nearest truth, ``…_best_of_k`` of the samples, ``…_pair``.

    Under the metric's own name: DreamSim's is another scale.
    """
    return _yield(context, context.name, _perceptual(context), higher=False, within=NOT_NEGATIVE)


def _perceptual(context: MetricContext) -> dict[str, Floats]:
    return {
        key: table.to_truths
        for key, table in tables_of(context).items()
        if table.to_truths.shape[1] > 0
    }


# -------------------------------------------------------------------------- modes


def assign_modes(
    to_truths: Floats, truths: Floats, to_input: Floats, reach: float = REACH
) -> npt.NDArray[np.intp]:
    """The true mode that each sample shows, or `NONE`.

    A sample belongs to the nearest true look, unless it is nearer to its input (it has not
    left the source), or farther than `reach` times the distance from that look to the next
    true one (it shows neither).

    Parameters
    ----------
    to_truths, truths, to_input
        Distances ``(k, T)``, ``(T, T)`` and ``(k,)``, with T at least 2.

    Returns
    -------
    numpy.ndarray
        int ``(k,)``.
    """
    nearest = to_truths.argmin(1)
    distance = to_truths.min(1)
    others = truths + np.diag(np.full(len(truths), np.inf))
    # A true look that equals the input is told apart by nothing: it counts as what it is.
    left = (distance < to_input) | (distance == 0)
    inside = left & (distance <= reach * others.min(1)[nearest])
    return np.where(inside, nearest, NONE)


def _modes(context: MetricContext) -> dict[str, npt.NDArray[np.intp]]:
    """For each input with several truths, the mode of each sample."""
    tables = {k: t for k, t in tables_of(context).items() if t.to_truths.shape[1] > 1}
    if not tables:
        raise NotMeasurable(f"{context.name} needs several true translations of an input")
    return {k: assign_modes(t.to_truths, t.truths, t.to_input) for k, t in tables.items()}


def measure_modes(context: MetricContext) -> Iterator[Measurement]:
    """``truth_coverage``: share of the true modes that one of the samples shows."""
    shares = [
        len(set(modes.tolist()) - {NONE}) / len(context.truths[key])
        for key, modes in _modes(context).items()
    ]
    yield context.measurement("truth_coverage", bootstrap_mean(shares, within=SHARE), n=len(shares))


def measure_mode_precision(context: MetricContext) -> Iterator[Measurement]:
    """``truth_precision``: share of the samples that show a true mode; mean over inputs."""
    shown = {key: (modes != NONE).astype(np.float64) for key, modes in _modes(context).items()}
    yield context.measurement(
        "truth_precision",
        bootstrap_mean([float(values.mean()) for values in shown.values()], within=SHARE),
        n=len(shown),
        per_sample=context.per_sample(list(shown.values()), list(shown)),
    )


def measure_mode_error(context: MetricContext) -> Iterator[Measurement]:
    """``truth_mode_error``: from the shares of the modes over all outputs to the true shares.

    Total variation; an output that shows no mode adds to no share.
    """
    rows, found = [], _modes(context)
    kinds = sorted({str(t.factors.get("mode")) for k in found for t in context.truths[k]})
    for key, modes in found.items():
        names = [str(true.factors.get("mode")) for true in context.truths[key]]
        shown = [names[mode] if mode != NONE else None for mode in modes]
        rows.append([shown.count(k) / len(shown) - names.count(k) / len(names) for k in kinds])
    gaps = np.mean(rows, axis=0)
    nowhere = -float(gaps.sum())
    value = 0.5 * (float(np.abs(gaps).sum()) + nowhere)
    yield context.measurement("truth_mode_error", value, n=len(rows))


# -------------------------------------------------------------------------- factors


class Reader:
    """Ridge regression of factors on features; each penalty is the best on left-out rows.

    Parameters
    ----------
    features, values
        ``(n, d)`` and ``(n, k)``, of real pictures.
    """

    def __init__(self, features: npt.ArrayLike, values: npt.ArrayLike) -> None:
        from sklearn.linear_model import RidgeCV

        x, y = np.asarray(features, np.float64), np.asarray(values, np.float64)
        self._mean, self._scale = x.mean(0), (x.std(0) + 1e-6) * np.sqrt(x.shape[1])
        # The features are decomposed once for all factors: that is nearly all of the work.
        self._model = RidgeCV(
            _PENALTIES,
            scoring="neg_mean_squared_error",
            store_cv_results=True,
            alpha_per_target=True,
        )
        self._model.fit(self._standardised(x), y)
        best = np.searchsorted(_PENALTIES, np.atleast_1d(self._model.alpha_))
        left_out: Floats = self._model.cv_results_
        self.left_out: Floats = np.take_along_axis(left_out, best[None, :, None], 2)[:, :, 0]
        """Each row's factors ``(n, k)`` as a regression reads them that has not seen that row."""

    def _standardised(self, features: npt.ArrayLike) -> Floats:
        return np.asarray((np.asarray(features, np.float64) - self._mean) / self._scale)

    def __call__(self, features: npt.ArrayLike) -> Floats:
        """Return the factors ``(m, k)`` as read from features ``(m, d)``."""
        read: Floats = self._model.predict(self._standardised(features))
        return read.reshape(len(read), -1)  # scikit-learn drops a last axis of one


def measure_factors(context: MetricContext) -> Iterator[Measurement]:
    """``factor_error``: how far the factors seen in outputs are from those in real pictures.

    A :class:`Reader` learns the numeric factors on target training pictures. Outputs and
    real test pictures are read alike, so that its own faults cancel; the two
    distributions are compared by the Wasserstein-1 distance in standard deviations of the
    real one. ``factor_error_floor`` is what as many real training pictures score, each read
    by a regression that has not seen it.
    """
    context.need("reference_train", _LEAST)
    context.need("reference", _LEAST)
    pictures, tests = context.pictures("reference_train"), context.pictures("reference")
    train = context.features("reference_train")
    real, outputs = context.features("reference"), context.features("all_outputs")
    errors, floors = {}, []
    rng = np.random.default_rng(0)
    names = _numeric_factors([*pictures, *tests])
    if names:
        learnt, known = (_values(names, part) for part in (pictures, tests))
        reader = Reader(train, learnt)
        tables = (reader(real), known, reader(outputs), reader.left_out)
        columns = zip(*(table.T for table in tables), strict=True)
        for name, (seen, true, made, left_out) in zip(names, columns, strict=True):
            spread = float(seen.std())
            if spread < 1e-9 or 1.0 - ((seen - true) ** 2).mean() / true.var() < READABLE:
                continue
            errors[name] = stats.wasserstein_distance(made, seen) / spread
            count = min(len(context.ids), len(train))
            draws = [rng.choice(left_out, count, replace=False) for _ in range(_DRAWS)]
            floors.append(np.mean([stats.wasserstein_distance(d, seen) for d in draws]) / spread)
    if not errors:
        raise NotMeasurable(f"{context.name}: no factor can be read from real pictures")
    n = len(context.ids)
    yield context.measurement("factor_error", float(np.mean(list(errors.values()))), n=n)
    yield context.measurement("factor_error_floor", float(np.mean(floors)), n=n)
    for name, error in errors.items():
        yield context.measurement(f"factor_error_{name}", float(error), n=n)


def _values(names: Sequence[str], pictures: Sequence[Picture]) -> Floats:
    """Factors ``(n, k)`` of pictures."""
    return np.array([[picture.factors[name] for name in names] for picture in pictures], float)


def _numeric_factors(pictures: Sequence[Picture]) -> list[str]:
    """Factors that every picture has as a number, and that vary."""
    names = [name for name, value in pictures[0].factors.items() if isinstance(value, float)]
    values = {
        name: [picture.factors.get(name) for picture in pictures]
        for name in names
        if all(isinstance(picture.factors.get(name), float) for picture in pictures)
    }
    return [name for name, found in values.items() if len(set(found)) > 1]
