"""Everything foreseeable that can go wrong, one class a cause.

The library raises these; only `jspsr_cli.main` turns them into a message and an exit code. A message is one
sentence that says what is wrong and what to do about it.
"""


class JspsrError(Exception):
    """Base of all foreseeable errors: the work was started and failed (exit code 1)."""

    exit_code = 1


class InputError(JspsrError):
    """The input, or what was asked of it, cannot be worked with; nothing was started (exit code 2)."""

    exit_code = 2


class UnreadableRaster(InputError):
    """A raster is missing, empty, truncated, not a raster, or holds what cannot be read as it should be."""


class MissingCRS(InputError):
    """A raster or polygon does not say where on Earth it lies."""


class WrongBands(InputError):
    """A raster has too few or too many bands for the role it was given."""


class EmptyRaster(InputError):
    """A raster has no valid pixel where it is needed."""


class WrongValues(InputError):
    """The pixels of a raster are not what it was given as: another unit, or another kind of map."""


class CoarseGuide(InputError):
    """The pixels of a guide are too large for those of the output."""


class CoarseReference(InputError):
    """The pixels of a reference are larger than those of what is compared with it."""


class NoOverlap(InputError):
    """The inputs, or the area asked for, do not cover common ground."""


class InvalidGrid(InputError):
    """A target grid that is not projected in metres, empty, or too large to be meant."""


class InvalidOption(InputError):
    """An option whose value cannot work, alone or with the others."""


class GuideMismatch(InputError):
    """The guides given are not the ones the weights were trained with."""


class TooFine(InputError):
    """A raster has more pixels in one of the output than can be averaged at once."""


class OutputExists(InputError):
    """The output would overwrite something that it must not, or another process writes there."""


class OtherWork(InputError):
    """What lies at the output is work of another command, or too damaged to go on with."""


class OutputNotWritable(InputError):
    """The output folder is missing, read-only, or its disk too full."""


class NotHeights(InputError):
    """A raster whose unit is no length, whose units contradict each other, or that counts depths."""


class UnknownDatum(InputError):
    """Heights are to go to another vertical datum, and theirs is not known, or they have several."""


class MissingDatumGrid(InputError):
    """PROJ needs a grid for a change of vertical datum and does not have it."""


class MissingExtra(InputError):
    """What was asked for needs packages that are not installed."""


class InvalidConfig(InputError):
    """A training file says what cannot be meant."""


class NotExportable(InputError):
    """Weights that do not say enough of themselves to be run elsewhere, or are too large for the format."""


class BadTrainingSet(InputError):
    """Layers of a training set are missing, or do not lie on the same pixels."""


class NotPublic(InputError):
    """Part of the area asked for is not published at the resolution asked for."""


class PredictionFailed(JspsrError):
    """The network returned something that is not a height, or the device failed."""


class ExportDiffers(JspsrError):
    """An exported network does not predict what the network does."""


class ReadFailed(JspsrError):
    """A raster that could be opened could not be read to its end; `path` is its own where that is known."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class InputChanged(JspsrError):
    """A file was written to, or another took its place, while it was read."""


class TransformFailed(JspsrError):
    """PROJ could not go on with a change of vertical datum."""


class WriteFailed(JspsrError):
    """The output could not be written to its end."""


class FetchFailed(JspsrError):
    """A server, or the way to it, failed for longer than was worth trying."""


class MissingTile(JspsrError):
    """A tile that the list of tiles names is not at its address."""


class WrongTile(JspsrError):
    """What was fetched is damaged, or is not what its name says."""


class NothingKept(JspsrError):
    """No sample of a place can be learned from."""


class TrainingDiverged(JspsrError):
    """The loss is no longer a number."""


# How libraries say that there is no memory, without a class for it: torch, oneDNN beneath it, Python's threads.
_NO_MEMORY = ("can't allocate memory", "could not create a primitive", "can't start new thread", "std::bad_alloc")


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error` says that this machine, or what this process may use of it, has no memory left."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY)


def cause_of(error: Exception) -> str:
    """What is wrong, for the middle of a sentence: the words of an error of ours, else its kind too."""
    return str(error).rstrip(".") if isinstance(error, JspsrError) else f"{type(error).__name__}: {error}"
