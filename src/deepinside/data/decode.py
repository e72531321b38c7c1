"""A picture file -> a uint8 RGB tensor in the file's own pixels."""

import io
import os
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2.functional import to_dtype

from deepinside.data.picture import UnreadablePicture
from deepinside.errors import first_line

LONGEST = 100  # of a picture's long side over its short one
# Pillow reads others, and starts Ghostscript for one; older ones lack AVIF.
Image.init()
NAMES = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "JPEG2000", "PPM", "AVIF")
FORMATS = tuple(name for name in NAMES if name in Image.OPEN)


def decode(path: Path, upright: bool = False) -> Tensor:
    """RGB pixels of the picture in `path`, uint8 (3, H, W) in 0..255.

    What is kept and what is dropped:
    * EXIF orientation is applied to `upright` pictures alone, because ILSVRC's boxes are in the stored pixels (a TIFF
      is always turned: in that format the tag is part of the picture);
    * grey is repeated to three channels, CMYK is converted, of an animation the first frame is taken;
    * alpha is ignored and the colour stored under it kept, as the common ImageNet loaders do;
    * 16 bits a channel become 8 by dropping the lower byte.

    torchvision decodes JPEG, PNG, GIF and WebP (300 ILSVRC pictures: about 1.4 times as fast as Pillow, one thread),
    Pillow what torchvision refuses. Raises UnreadablePicture where both refuse: missing, empty, truncated, no picture;
    for a line, which would take gigabytes at the size of a net, and for more pixels than Pillow opens (179 millions).
    """
    image = _decoded(path, upright)
    height, width = image.shape[-2:]
    if max(height, width) > LONGEST * min(height, width):
        reason = f"{width} x {height} pixels, more than {LONGEST} times as long as wide ({path})"
        raise UnreadablePicture(path.stem, reason)
    return image


def _decoded(path: Path, upright: bool) -> Tensor:
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise UnreadablePicture(path.stem, f"a pipe, no file ({path})")
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UnreadablePicture(path.stem, f"{error.strerror} ({path})") from error
    if not len(data):
        raise UnreadablePicture(path.stem, f"the file is empty ({path})")
    _check_pixels(data, path)
    if not (upright and data[8:12].tobytes() == b"WEBP"):  # of which torchvision does not read the orientation
        try:
            return _with_torchvision(torch.from_numpy(data), upright)
        except RuntimeError:
            pass
    try:
        return _with_pillow(data, upright)
    except UnidentifiedImageError as error:
        raise UnreadablePicture(path.stem, f"not a picture in a known format ({path})") from error
    # Pillow's readers answer damaged files with many kinds of exception (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        raise UnreadablePicture(path.stem, f"{first_line(error)} ({path})") from error


def _check_pixels(data: np.ndarray[Any, Any], path: Path) -> None:
    """By the header: torchvision has no limit, and takes gigabytes for a file of some kilobytes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(io.BytesIO(data.tobytes()), formats=FORMATS).close()
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(path.stem, f"{first_line(error)} ({path})") from None
    except Exception:  # other damage is told when it is read
        pass


def _with_torchvision(data: Tensor, upright: bool) -> Tensor:
    with warnings.catch_warnings():
        # torchvision 0.29 deprecates its decoders for torchcodec's, which always apply EXIF orientation.
        warnings.simplefilter("ignore", DeprecationWarning)
        image = decode_image(data, ImageReadMode.RGB, apply_exif_orientation=upright)
    if image.ndim == 4:
        image = image[0]
    return to_dtype(image, torch.uint8, scale=True)


def _with_pillow(data: np.ndarray[Any, Any], upright: bool) -> Tensor:
    with Image.open(io.BytesIO(data.tobytes()), formats=FORMATS) as stored:
        picture = _upright(stored) if upright else stored
        if picture.mode.startswith("I;16"):
            # Pillow's own conversion clips 16-bit grey at 255.
            grey = np.asarray(picture) >> 8
            pixels = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
        elif picture.mode in ("I", "F"):
            raise ValueError(f"pixels of mode {picture.mode} have no fixed range of brightness")
        else:
            pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # a damaged tag says nothing of the pixels
        return picture
