"""Settings of a deployment, read once from GAN_* variables (HOST and PORT are understood too)."""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ZOO = Path(__file__).parent.parent / "model" / "zoo"


class Settings(BaseSettings):
    """What an operator decides; every field has a bound and a default that works."""

    model_config = SettingsConfigDict(env_prefix="GAN_", extra="ignore", frozen=True)

    generator: Annotated[
        str,
        Field(min_length=1, description="name in the zoo, or path of a generator file's folder"),
    ] = "mnist"
    device: Annotated[
        str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    ] = "auto"
    host: Annotated[str, Field(validation_alias=AliasChoices("GAN_HOST", "HOST"))] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=1, le=65535, validation_alias=AliasChoices("GAN_PORT", "PORT"))
    ] = 8000
    max_batch: Annotated[int, Field(ge=1, le=4096, description="pictures in one device batch")] = 64
    max_queue: Annotated[int, Field(ge=1, le=1_000_000, description="pictures that may wait")] = (
        1024
    )

    @property
    def generator_folder(self) -> Path:
        """The zoo's folder of that name, else the path itself."""
        named = ZOO / self.generator
        return named if named.is_dir() else Path(self.generator)
