"""Types that checkpoints hold beside tensors, and that a network has no need of: read as nothing.

Trainers put their settings and progress into checkpoints: a NumPy scalar as the best accuracy, a
path, a namespace of options. None of these types is made here, nor its module imported: in its
place stands an object that takes what is said to it and keeps none of it. So the list below can
grow without a thought about what a type's own code would do; it is short all the same, so that what
a network may be kept in is refused, and not read as nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Nothing:
    """Stands for an object of one of the types; of what a file says of it, nothing is kept."""

    def __new__(cls, *_: Any) -> Nothing:
        """Take any arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        """Keep none of them."""

    def __setstate__(self, state: object) -> None:
        """Keep nothing of the state."""


def plain_dict(*_: Any) -> dict[Any, Any]:
    """Stands for a mapping that is more than a dict: its items are kept, and nothing else."""
    return {}


def plain_list(*_: Any) -> list[Any]:
    """Stands for a sequence that is more than a list: its items are kept, and nothing else."""
    return []


_NOTHING = (
    # a NumPy scalar or type, such as the best accuracy; no array, which may be the network
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
    "numpy.dtype",
    # where files are
    "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath", "pathlib._local.Path", "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    # options and times
    "argparse.Namespace", "types.SimpleNamespace", "decimal.Decimal",
    "datetime.datetime", "datetime.date", "datetime.timedelta", "datetime.timezone", "uuid.UUID",
    # what a defaultdict makes
    "builtins.list", "builtins.dict", "builtins.int", "builtins.float", "builtins.str",
    "builtins.bool",
    # Hydra's settings
    "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata", "omegaconf.nodes.AnyNode",
    "typing.Any",
)  # fmt: skip
# What `torch.serialization.safe_globals` takes: what stands for each name in a file.
STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((Nothing, name) for name in _NOTHING),
    (plain_dict, "collections.defaultdict"),
    (plain_list, "collections.deque"),
]
