"""decode: which files it reads, in which pixels, and what it says of those it cannot read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from deepinside.data.decode import decode
from deepinside.data.picture import UnreadablePicture

from . import trees

CORNER = torch.tensor(trees.colour(1))


def corner(image: torch.Tensor) -> torch.Tensor:
    return image[:, 1, 1].int()


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.webp", "a.gif", "a.bmp", "a.tif"])
def test_formats_give_the_same_picture(tmp_path: Path, name: str) -> None:
    image = decode(trees.save(tmp_path / name, 1, size=(40, 60)))
    assert image.dtype == torch.uint8
    assert image.shape == (3, 40, 60)
    assert (corner(image) - CORNER).abs().max() <= 3
    assert (image[:, 16, 25].int() - 255).abs().max() <= 3


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    trees.draw(1).save(tmp_path / "png.JPEG", "PNG")  # ILSVRC has such a file
    assert (corner(decode(tmp_path / "png.JPEG")) == CORNER).all()


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    trees.draw(1).convert("L").save(tmp_path / "grey.jpg")
    image = decode(tmp_path / "grey.jpg")
    assert image.shape == (3, 24, 32)
    assert (image == image[:1]).all()
    assert image.max() > image.min()


@pytest.mark.parametrize("name", ["cmyk.jpg", "cmyk.tif"])
def test_cmyk_is_converted(tmp_path: Path, name: str) -> None:
    trees.draw(1).convert("CMYK").save(tmp_path / name)
    assert (corner(decode(tmp_path / name)) - CORNER).abs().max() <= 3


@pytest.mark.parametrize("name", ["alpha.png", "alpha.webp", "alpha.tif"])
def test_alpha_is_ignored_and_the_colour_under_it_kept(tmp_path: Path, name: str) -> None:
    picture = trees.draw(1)
    picture.putalpha(Image.fromarray(np.full((24, 32), 128, dtype=np.uint8)))
    picture.save(tmp_path / name, lossless=True)
    image = decode(tmp_path / name)
    assert image.shape == (3, 24, 32)
    assert (corner(image) == CORNER).all()


def test_a_palette_with_a_transparent_colour_keeps_its_colours(tmp_path: Path) -> None:
    picture = trees.draw(1).quantize(4)
    picture.save(tmp_path / "palette.png", transparency=0)
    assert torch.equal(decode(tmp_path / "palette.png"), torch.from_numpy(np.array(trees.draw(1))).permute(2, 0, 1))


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_lose_their_lower_byte(tmp_path: Path, name: str) -> None:
    grey = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(grey).save(tmp_path / name)
    assert torch.equal(decode(tmp_path / name), torch.arange(256).to(torch.uint8)[None, :, None].expand(3, 256, 256))


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp"])
def test_the_first_frame_of_an_animation(tmp_path: Path, name: str) -> None:
    trees.draw(1).save(tmp_path / name, save_all=True, append_images=[trees.draw(2), trees.draw(3)], lossless=True)
    image = decode(tmp_path / name)
    assert image.shape == (3, 24, 32)
    assert (corner(image) == CORNER).all()


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_exif_orientation_is_applied_to_upright_pictures_alone(kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees, clockwise, to look at"
    turned = tmp_path / f"turned.{kind}"
    trees.draw(1, size=(20, 30)).save(turned, exif=exif, quality=95, lossless=True)
    plain = decode(trees.save(tmp_path / f"plain.{kind}", 1, size=(20, 30)))
    assert torch.equal(decode(turned), plain)
    upright = decode(turned, upright=True)
    assert upright.shape == (3, 30, 20)
    assert (upright.int() - plain.rot90(-1, (1, 2)).int()).abs().max() <= 8  # JPEG turns its blocks


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif", "a.webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_unreadable(tmp_path: Path, name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(UnreadablePicture):
        decode(tmp_path / name)


def test_a_jpeg_without_its_last_two_bytes_is_unreadable(tmp_path: Path) -> None:
    path = trees.save(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UnreadablePicture, match="truncated"):
        decode(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"not a picture\n", "not a picture in a known format"),
        (bytes(2000), "not a picture in a known format"),
        (None, "No such file or directory"),
    ],
)
def test_the_reason_is_one_line_with_the_path(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "holiday.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadablePicture) as caught:
        decode(path)
    assert caught.value.name == "holiday"
    assert caught.value.reason == f"{reason} ({path})"


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePicture, match="Is a directory"):
        decode(tmp_path)


@pytest.mark.parametrize(("kind", "mode"), [(np.float32, "F"), (np.int32, "I")])
def test_pixels_whose_range_is_unknown_are_refused(kind: type, mode: str, tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 300, 768).astype(kind).reshape(24, 32)).save(tmp_path / "float.tif")
    with pytest.raises(UnreadablePicture, match=f"mode {mode} have no fixed range"):
        decode(tmp_path / "float.tif")


def test_a_picture_pillow_thinks_too_large_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with pytest.raises(UnreadablePicture, match="exceeds limit"):
        decode(trees.save(tmp_path / "large.bmp"))


def test_ilsvrc_pictures_equal_pillows(shared: Path) -> None:
    files = sorted((shared / "ilsvrc_mini/ILSVRC/Data/CLS-LOC/val").glob("*.JPEG"))[:20]
    assert len(files) == 20
    for file in files:
        with Image.open(file) as picture:
            expected = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
        # Both contain libjpeg-turbo; its versions may differ by rounding.
        assert (decode(file).int() - expected.int()).abs().max() <= 2


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_a_damaged_orientation_is_none(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{kind}"
    trees.draw(1, size=(20, 30)).save(file, exif=b"Exif\0\0garbage", quality=95, lossless=True)
    assert torch.equal(decode(file, upright=True), decode(file))
