"""qtui: configure, launch, watch and judge QLoRA fine-tuning from a terminal."""

__version__ = "0.1.0"
