"""Every setting, once: its name, default, range, group and help.

The main way in are the frozen dataclasses of `settings.py`, which this package hands on.
`fields.py` makes and checks their fields, `files.py` reads them from TOML, and `presets/` holds
such files.
"""

from charrnn.config.settings import (
    CorpusConfig,
    DynamicConfig,
    ModelConfig,
    SamplingConfig,
    TrainConfig,
)

__all__ = ["CorpusConfig", "DynamicConfig", "ModelConfig", "SamplingConfig", "TrainConfig"]
