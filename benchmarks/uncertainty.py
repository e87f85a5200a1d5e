"""How well `enhance --uncertainty` knows its errors: fits its calibration, and judges it on other ground.

    python benchmarks/uncertainty.py WEIGHTS --store FOLDER --site NAME TERRAIN SURFACE [canopy=FILE] ... [--plot PNG]

The calibration (`jspsr_models.calibration`) is that under which the errors on the first simulated scenes are most
likely (Gaussian). Then, for these, for other simulated scenes and for real sites under simulated sensors: RMSE, the RMS
of the standard errors, shares of errors within one and two of them (68 % and 95 % of Gaussian ones), RMSE and standard
errors on open ground and elsewhere, how well errors and standard errors agree in rank, and standard error and RMSE by
tenths of the pixels. `one number` sets beside them what needs no second run: one standard error for all pixels, the
RMSE of the scenes fitted on. The mean log-likelihood of a pixel's error (higher is better) and its continuous ranked
probability score in metres (lower is better; Gneiting and Raftery, J. Am. Stat. Assoc. 2007, 102, 359-378) are given
with standard errors, then with the one number. COP30 has no tile-wide bias, which no spread can show, unless
`--biased`. Canopy maps are as wrong as the global one, or `--map exact`. With `--mean`, also RMSE of the mean of all
predictions in place of the first.

What was computed is kept in the folder, and read from there the next time: take one for each set of weights.
"""

import argparse
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from matplotlib.figure import Figure
from scipy import optimize, stats

from benchmarks.starters import Place, rms, scenes, site
from jspsr_cli import EnhanceOptions, enhance
from jspsr_cli.limits import DEFAULT_OVERLAP
from jspsr_cli.raster.samples import write_layer
from jspsr_cli.simulate.canopymap import canopy_map
from jspsr_cli.simulate.fields import stream
from jspsr_cli.simulate.radar import elevation_models
from jspsr_cli.simulate.scene import CANOPY_MAP, RADAR
from jspsr_cli.spread import Uncertainty
from jspsr_cli.types import FloatArray
from jspsr_models import WeightsInfo, load_network
from jspsr_models.calibration import Calibration, calibration_of

# No training file names them, nor each other's.
FIT_SEED, JUDGED_SEED = 8_000_000, 9_000_000

# Bins of the standard error, as many pixels in each.
BINS = 10

#: by kind of figure, one value a pixel: error, spread, error of the mean of 8 (NaN where it was not asked for) in
#: metres; whether it is open ground
Pixels = dict[str, FloatArray]


def mean_of_8(network: Any) -> Any:
    """A network that predicts in all 8 orientations, and gives the mean."""

    def predict(dem: torch.Tensor, **guides: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(dem)
        for mirrored in (False, True):
            for turns in range(4):
                given = [torch.rot90(x.flip(-1) if mirrored else x, turns, (-2, -1)) for x in (dem, *guides.values())]
                found = torch.rot90(network(given[0], **dict(zip(guides, given[1:], strict=True))), -turns, (-2, -1))
                total += found.flip(-1) if mirrored else found
        return total / 8

    return predict


def read(path: Path) -> FloatArray:
    """The band of a raster, NaN for nodata."""
    with rasterio.open(path) as dataset:
        values: FloatArray = dataset.read(1, masked=True).astype(np.float64).filled(np.nan)
    return values


def measured(
    place: Place, network: Any, info: WeightsInfo, seed: int, number: int, asked: argparse.Namespace
) -> Pixels:
    """What `enhance` makes of one draw of COP30 and canopy map."""
    canopy = canopy_map(place.scene, stream(seed, number, CANOPY_MAP), kind=asked.map)[(..., *place.here)]
    models = elevation_models(place.scene, stream(seed, number, RADAR), names=["COP30"], biased=asked.biased)
    dem = models["COP30"][(..., *place.here)].astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        dem_file, canopy_file, heights, spread, mean = (Path(name, f"{n}.tif") for n in ("d", "c", "h", "s", "m"))
        write_layer(dem_file, dem, grid=place.grid, heights=True, tags={})
        write_layer(canopy_file, canopy, grid=place.grid, heights=False, tags={})
        options = EnhanceOptions(like=str(dem_file), water="network")
        unknown = replace(info, sha256="0" * 64)  # not calibrated: the spread itself
        runs = [(network, heights, replace(options, uncertainty=spread))]
        runs += [(mean_of_8(network), mean, options)] if asked.mean else []
        for predictor, output, chosen in runs:
            weights: Any = (predictor, unknown)
            given = {"image": [str(place.image)], "canopy": [str(canopy_file)]}
            guides: Any = {guide: given[guide] for guide in info.inputs}
            enhance(dem_file, **guides, output=output, weights=weights, options=chosen)
        truth = place.means(place.scene.terrain)
        known = place.known & np.isfinite(read(spread))
        return {
            "error": (read(heights) - truth)[known],
            "spread": read(spread)[known],
            "mean": ((read(mean) if asked.mean else np.full(truth.shape, np.nan)) - truth)[known],
            "open": place.grounds()["open"][known].astype(np.float64),
        }


def gathered(name: str, places: Iterable[Place], seed: int, draws: int, asked: argparse.Namespace) -> Pixels:
    """All pixels of all `places`, from the folder if they are there."""
    kept = asked.store / f"{name}-{asked.map}{'-biased' * asked.biased}.npz"
    if not kept.exists():
        network, info = load_network(asked.weights)
        found = [
            measured(place, network, info, seed, number * draws + draw, asked)
            for number, place in enumerate(places)
            for draw in range(draws)
        ]
        np.savez(kept, **{key: np.concatenate([pixels[key] for pixels in found]) for key in found[0]})  # type: ignore[arg-type]
    with np.load(kept) as saved:
        return dict(saved)


def fitted(pixels: Pixels) -> Calibration:
    """The calibration that suits the pixels best."""
    squares = pixels["error"] ** 2

    def unlikely(logs: FloatArray) -> float:
        variance = Uncertainty(Path(), of_logs(logs)).of(pixels["spread"]) ** 2
        return float(np.mean(np.log(variance) + squares / variance))

    return of_logs(optimize.minimize(unlikely, np.log([0.5, 2.0, 1.0]), method="Nelder-Mead").x)


def of_logs(logs: FloatArray) -> Calibration:
    """The calibration of the logarithms of its numbers, which may be any."""
    floor, factor, power = (float(value) for value in np.exp(logs))
    return Calibration(
        floor, factor, power, fitted_on="", resolution=8.0, window=128, overlap=DEFAULT_OVERLAP, product=""
    )


def reliability(pixels: Pixels, sigma: FloatArray) -> FloatArray:
    """RMS of standard errors and of errors in bins of the standard error, (bins, 2)."""
    parts = np.array_split(np.argsort(sigma), BINS)
    return np.array([(rms(sigma[part]), rms(pixels["error"][part])) for part in parts])


def likelihood(error: FloatArray, sigma: FloatArray | float) -> float:
    """Mean logarithm of the density of errors, were they Gaussian with the standard errors `sigma`."""
    return float(np.mean(stats.norm.logpdf(error, scale=sigma)))


def score(error: FloatArray, sigma: FloatArray | float) -> float:
    """Mean continuous ranked probability score of the same, in metres."""
    off = error / sigma
    scores = off * (2 * stats.norm.cdf(off) - 1) + 2 * stats.norm.pdf(off) - 1 / np.sqrt(np.pi)
    return float(np.mean(sigma * scores))


def said(name: str, pixels: Pixels, sigma: FloatArray, constant: float) -> str:
    """A line for people; `constant` is the one standard error for all pixels, NaN for none."""
    error, ground = pixels["error"], pixels["open"].astype(bool)
    off = np.abs(error) / sigma
    shares = f"within 1 {np.mean(off < 1):.0%} 2 {np.mean(off < 2):.0%}"
    rank = float(stats.spearmanr(np.abs(error), sigma).statistic)
    mean = "" if np.isnan(pixels["mean"]).any() else f" | mean of 8 {rms(pixels['mean']):.2f}"
    cells = " ".join(
        f"{kind} {rms(error[where]):.2f} {rms(sigma[where]):.2f}"
        for kind, where in (("open", ground), ("other", ~ground))
    )
    bins = " ".join(f"{expected:.2f}:{found:.2f}" for expected, found in reliability(pixels, sigma))
    one = "" if np.isnan(constant) else f" | one number {compared(error, sigma, constant)}"
    return (
        f"{name:11} RMSE {rms(error):.2f} sigma {rms(sigma):.2f} | {shares} | {cells} | rank {rank:.2f}{mean}{one}"
        f" | {bins}"
    )


def compared(error: FloatArray, sigma: FloatArray, constant: float) -> str:
    """Likelihood and score with standard errors, and with one for all."""
    pairs = {"log": likelihood, "CRPS": score}
    return " ".join(f"{name} {of(error, sigma):.3f} {of(error, constant):.3f}" for name, of in pairs.items())


def plotted(lines: dict[str, FloatArray], path: Path) -> None:
    """Reliability of all of them, and what it would be at best."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.add_subplot()
    ends = [min(line.min() for line in lines.values()) * 0.9, max(line.max() for line in lines.values()) * 1.1]
    axes.plot(ends, ends, color="0.6", linestyle="--", label="as it should be")
    for name, line in lines.items():
        axes.plot(*line.T, marker="o", markersize=4, label=name)
    axes.set(xscale="log", yscale="log", xlabel="standard error, m", ylabel="RMSE of the pixels that have it, m")
    for axis in (axes.xaxis, axes.yaxis):
        ticks = [tick for tick in (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10) if ends[0] <= tick <= ends[1]]
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Fit, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--site", nargs="+", action="append", default=[], metavar="WORD")
    parser.add_argument("--scenes", type=int, default=40, help="simulated scenes to fit on, and as many to judge")
    parser.add_argument("--draws", type=int, default=2, help="draws of COP30 and canopy map on each site")
    parser.add_argument("--map", choices=["exact", "global"], default="global")
    parser.add_argument("--biased", action="store_true", help="with the tile-wide bias of COP30")
    parser.add_argument("--mean", action="store_true", help="also the error of the mean of 8, at twice the cost")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--known", action="store_true", help="judge the calibration in the package, fit none")
    asked = parser.parse_args()
    info = load_network(asked.weights)[1]
    resolution, known = info.resolution or 8.0, calibration_of(info) if asked.known else None
    asked.store.mkdir(exist_ok=True)
    lines: dict[str, Pixels] = {}
    constant = float("nan")
    with tempfile.TemporaryDirectory() as name:
        places = {seed: scenes(asked.scenes, resolution, Path(name), seed=seed) for seed in (FIT_SEED, JUDGED_SEED)}
        if known is None:
            lines["fitted on"] = gathered("fit", places[FIT_SEED], FIT_SEED, 1, asked)
            known, constant = fitted(lines["fitted on"]), rms(lines["fitted on"]["error"])
        lines["simulated"] = gathered("simulated", places[JUDGED_SEED], JUDGED_SEED, 1, asked)
    print(f"floor {known.floor:.3f} m, factor {known.factor:.3f}, power {known.power:.3f}, one number {constant:.3f} m")
    for words in asked.site:
        name, place = site(words, resolution)
        lines[name] = gathered(name, place, JUDGED_SEED, asked.draws, asked)
    curves = {}
    for name, pixels in lines.items():
        sigma = Uncertainty(Path(), known).of(pixels["spread"])
        print(said(name, pixels, sigma, constant), flush=True)
        curves[name] = reliability(pixels, sigma)
    if asked.plot:
        plotted(curves, asked.plot)


if __name__ == "__main__":
    main()
