"""Settings of a deployment, read once from GAN_* variables (HOST and PORT are understood too)."""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from model.devices import Precision

ZOO = Path(__file__).parent.parent / "model" / "zoo"

DEVICES = r"^(auto|cpu|cuda|cuda:\d{1,3}(,cuda:\d{1,3}){0,63})$"
Text = Annotated[str, Field(min_length=1, max_length=4096)]


class Settings(BaseSettings):
    """What an operator decides; every field has a bound and a default that works."""

    model_config = SettingsConfigDict(env_prefix="GAN_", extra="ignore", frozen=True)

    generator: Text = "mnist"  # name in the zoo, or path of a generator file's folder
    device: Annotated[str, Field(pattern=DEVICES)] = "auto"  # or several: cuda:0,cuda:1
    workers: Annotated[int, Field(ge=1, le=256)] = 1  # processes a device
    precision: Precision = "fp32"  # bf16: faster where the processor or GPU has it; other bytes
    threads: Annotated[int, Field(ge=0, le=1024)] = 0  # of one batch on the CPU; 0: one a core
    host: Annotated[Text, Field(validation_alias=AliasChoices("GAN_HOST", "HOST"))] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=1, le=65535, validation_alias=AliasChoices("GAN_PORT", "PORT"))
    ] = 8000
    max_batch: Annotated[int, Field(ge=1, le=4096)] = 64  # pictures in one device batch
    max_queue: Annotated[int, Field(ge=1, le=1_000_000)] = 1024  # pictures accepted, unanswered
    max_wait: Annotated[float, Field(gt=0, le=3600)] = 10.0  # seconds until a request is begun
    cache_mib: Annotated[int, Field(ge=0, le=65536)] = 8  # of pictures kept for hot seeds

    @property
    def generator_folder(self) -> Path:
        """The zoo's folder of that name, else the path itself."""
        named = ZOO / self.generator
        return named if named.is_dir() else Path(self.generator)
