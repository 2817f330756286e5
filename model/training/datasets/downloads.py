"""The official files, fetched once: a name in, a folder out, with progress and checksums (pooch
does the work).
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.training.datasets.dataset import DataError

CACHE = Path("data")  # one folder per set below it


@dataclass(frozen=True)
class Official:
    """Where an official set is, the hashes of its files, and what is known of its licence."""

    base_url: str
    registry: Mapping[str, str]  # file name: algorithm:digest
    licence: str


_MNIST_LICENCE = (
    "MNIST is by Yann LeCun, Corinna Cortes and Christopher Burges; it is often quoted as "
    "CC BY-SA 3.0. The pictures themselves are not part of this project."
)

OFFICIAL: dict[str, Official] = {
    "mnist": Official(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
        _MNIST_LICENCE,
    ),
    "fashion-mnist": Official(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
        "Fashion-MNIST: MIT licence, (c) 2017 Zalando SE.",
    ),
    "svhn": Official(
        "http://ufldl.stanford.edu/housenumbers/",
        {
            "train_32x32.mat": "md5:e26dedcc434d2e4c54c9b2d4a06d8373",
            "test_32x32.mat": "md5:eb5a983be6a315427106f1b164d9cef3",
        },
        "SVHN: for non-commercial use only, as its official page says.",
    ),
}


def fetch(name: str, cache: Path = CACHE, base_url: str | None = None) -> Path:
    """Returns the folder with the files of an official set; downloads what is missing there from
    `base_url`, by default its official address.

    Raises:
        DataError: the set is unknown, the host does not answer, or a file does not match its
        checksum.
    """
    if name not in OFFICIAL:
        raise DataError(f"{name}: no such official set; known: {', '.join(OFFICIAL)}")
    official, folder = OFFICIAL[name], cache / name
    # imported by name: pictures of one's own need no download
    pooch, requests = importlib.import_module("pooch"), importlib.import_module("requests")
    address = base_url or official.base_url
    store = pooch.create(
        folder, address if address.endswith("/") else f"{address}/", registry=official.registry
    )
    pooch.get_logger().setLevel("WARNING")
    for file in official.registry:
        try:
            store.fetch(file, downloader=pooch.HTTPDownloader(progressbar=True, timeout=30))
        except ValueError as error:
            reason = "does not match its checksum" if "hash" in str(error) else str(error)
            raise DataError(f"{address}{file}: {reason}") from None
        except (requests.RequestException, OSError) as error:
            raise DataError(
                f"{address}{file}: cannot be downloaded ({type(error).__name__})"
            ) from None
    return folder


def data_path(data: str, base_url: str | None = None) -> Path:
    """Returns a path as it is, or the folder of an official set by its name, downloaded where it is
    missing.
    """
    if data in OFFICIAL and not Path(data).exists():
        return fetch(data, base_url=base_url)
    return Path(data)
