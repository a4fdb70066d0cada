"""Every setting, once: its name, default, range, group and help.

The main entry points are the frozen dataclasses of `settings.py`, `training.py`, `sampling.py` and
`serving.py`, which this package re-exports.
`fields.py` defines and checks their fields, `files.py` reads them from TOML, and `presets/` holds
TOML files.
"""

from charrnn.config.sampling import SamplingConfig, ShortConfig
from charrnn.config.serving import ServeConfig
from charrnn.config.settings import CorpusConfig, DynamicConfig, MemoryConfig, ModelConfig
from charrnn.config.training import TrainConfig

__all__ = [
    "CorpusConfig",
    "DynamicConfig",
    "MemoryConfig",
    "ModelConfig",
    "SamplingConfig",
    "ServeConfig",
    "ShortConfig",
    "TrainConfig",
]
