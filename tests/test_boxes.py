import pytest
import torch

from deepinside.boxes import (
    area,
    centre_box,
    from_inclusive,
    iou,
    mask_to_box,
    scale_boxes,
    to_inclusive,
    to_whole_pixels,
    whole_box,
)


def box(*edges: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor([edges], dtype=dtype)


def test_area_counts_inclusive_pixels() -> None:
    one_pixel, row = from_inclusive(torch.tensor([[5.0, 7.0, 5.0, 7.0], [0.0, 3.0, 9.0, 3.0]]))
    assert area(torch.stack([one_pixel, row])).tolist() == [1, 10]


def test_iou_by_hand_in_inclusive_pixels() -> None:
    # Columns 0..9 and 5..14 of rows 0..9: 50 pixels shared, 150 covered. Counted without the + 1 it is 36 / 126.
    a, b = from_inclusive(box(0, 0, 9, 9)), from_inclusive(box(5, 0, 14, 9))
    assert iou(a, b).item() == pytest.approx(50 / 150)


def test_iou_of_every_pair() -> None:
    a = torch.cat([box(0, 0, 2, 2), box(1, 1, 3, 3)])
    b = torch.cat([box(0, 0, 2, 2), box(1, 0, 2, 2), box(2, 2, 4, 4)])
    expected = torch.tensor([[1, 2 / 4, 0], [1 / 7, 1 / 5, 1 / 7]])
    torch.testing.assert_close(iou(a, b), expected)
    torch.testing.assert_close(iou(b, a), expected.T)


def test_iou_of_one_half_is_exact() -> None:
    assert iou(box(0, 0, 500, 375), box(0, 0, 250, 375)).item() == 0.5


def test_boxes_that_touch_or_are_empty_share_nothing() -> None:
    assert iou(box(0, 0, 2, 2), box(2, 0, 4, 2)).item() == 0
    assert iou(box(0, 0, 10, 10), box(11, 11, 21, 21)).item() == 0
    assert iou(box(1, 1, 1, 1), box(1, 1, 1, 1)).item() == 0
    assert iou(box(0, 0, 1, 1), torch.zeros(0, 4)).shape == (1, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    a = box(0, 0, 3, 3, dtype=dtype)
    assert iou(a, a).dtype == dtype
    assert {f(a).dtype for f in (from_inclusive, to_inclusive)} == {dtype}
    assert scale_boxes(a, (3, 3), (6, 6)).dtype == dtype


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(4),
        torch.zeros(2, 3),
        torch.zeros(1, 4, dtype=torch.long),
        box(0, 0, float("nan"), 1),
        box(0, 0, float("inf"), 1),
        box(3, 0, 2, 1),
        box(0, 3, 1, 2),
        [[0.0, 0.0, 1.0, 1.0]],
    ],
)
def test_what_is_no_box_is_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="boxes must be"):
        iou(bad, box(0, 0, 1, 1))


def test_mask_to_box() -> None:
    mask = torch.zeros(6, 8, dtype=torch.bool)
    mask[2, 3] = True
    assert mask_to_box(mask).tolist() == [3, 2, 4, 3]
    mask[4, 1] = mask[3, 7] = True
    assert mask_to_box(mask).tolist() == [1, 2, 8, 5]
    assert mask_to_box(torch.ones(6, 8, dtype=torch.bool)).tolist() == whole_box((6, 8)).tolist()


def test_mask_to_box_refuses_an_empty_mask_and_other_shapes() -> None:
    with pytest.raises(ValueError, match="empty mask"):
        mask_to_box(torch.zeros(3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="bool"):
        mask_to_box(torch.ones(3, 3))
    with pytest.raises(ValueError, match="bool"):
        mask_to_box(torch.ones(1, 3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="not ndarray"):
        mask_to_box(torch.ones(3, 3, dtype=torch.bool).numpy())  # type: ignore[arg-type]


def test_scaling_keeps_iou_and_is_exact() -> None:
    boxes = torch.tensor([[0.0, 0.0, 500.0, 375.0], [100.0, 75.0, 250.0, 150.0]], dtype=torch.float64)
    small = scale_boxes(boxes, (375, 500), (150, 100))
    assert small.tolist() == [[0, 0, 100, 150], [20, 30, 50, 60]]
    torch.testing.assert_close(iou(small, small), iou(boxes, boxes))
    assert scale_boxes(boxes[0], (375, 500), (3, 5)).tolist() == [0, 0, 5, 3]
    for sizes in (((375, 0), (3, 5)), ((375, 500), (0, 5))):
        with pytest.raises(ValueError, match="positive"):
            scale_boxes(boxes, *sizes)


def test_whole_and_centre_box() -> None:
    assert whole_box((375, 500)).tolist() == [0, 0, 500, 375]
    assert centre_box((100, 200)).tolist() == pytest.approx([28, 14, 172, 86])
    assert centre_box((100, 200), 1.0).tolist() == whole_box((100, 200)).tolist()
    assert area(centre_box((300, 500))[None]).item() == pytest.approx(0.72**2 * 300 * 500)


def test_inclusive_pixels_from_0_and_from_1() -> None:
    whole = torch.tensor([[0.0, 0.0, 499.0, 374.0]])
    assert from_inclusive(whole).tolist() == [whole_box((375, 500)).tolist()]
    assert to_inclusive(from_inclusive(whole), first=1).tolist() == [[1, 1, 500, 375]]
    for first in (0, 1):
        assert from_inclusive(to_inclusive(whole, first), first).tolist() == whole.tolist()


def test_whole_pixels_are_never_empty() -> None:
    boxes = torch.tensor([[2.6, 3.4, 3.3, 3.45], [0.2, 0.0, 0.4, 9.6], [9.8, 1.0, 10.0, 2.0]])
    assert to_whole_pixels(boxes).tolist() == [[2, 2, 3, 3], [0, 0, 1, 10], [9, 1, 10, 2]]
