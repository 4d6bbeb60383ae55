"""Learning curves: a panel for the loss and one for each figure, lines that rise and fall as the figures do."""

import warnings

import numpy as np
import pytest

from mvcap.drawing.learning_curves import learning_curves

cv2 = pytest.importorskip("cv2")
RISING, FALLING = ("f1", np.linspace(0.1, 0.9, 5)), ("mm", np.linspace(30, 5, 5))


def lines(*figures, steps=5, loss=None):
    """Lines of a metrics file: ``figures`` are (name, values of every step)."""
    loss = np.linspace(1, 0.2, steps) if loss is None else loss
    held = [
        {"loss": 1.5 * float(loss[n]), **{name: float(values[n]) for name, values in figures}} for n in range(steps)
    ]
    return [{"step": 10 * n, "loss": float(loss[n]), "held_out": held[n]} for n in range(steps)]


def drawn(made):
    """The picture, drawn without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = learning_curves(made, "toy")
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def coloured(image):
    """Rows and columns of pixels of a strong colour: the curves; axes, grid and words are grey."""
    spread = image.astype(int).max(-1) - image.astype(int).min(-1)
    return np.nonzero(spread > 120)


def panel(image, which):
    third = image.shape[1] // 3
    return image[:, which * third : (which + 1) * third]


@pytest.fixture(scope="module")
def three():
    """Panels of the loss, of a figure that rises and of one that falls."""
    return drawn(lines(RISING, FALLING))


@pytest.fixture(scope="module")
def alone():
    """The panel of the loss."""
    return drawn(lines())


@pytest.mark.parametrize(("which", "sign"), [(1, 1), (2, -1)])
def test_curves_rise_and_fall_as_the_figures_do(three, which, sign):
    y, x = coloured(panel(three, which))
    left, right = y[x < np.quantile(x, 0.1)].mean(), y[x > np.quantile(x, 0.9)].mean()
    assert sign * (left - right) > 0.3 * len(three)  # rows are counted from the top
    assert np.corrcoef(x, y)[0, 1] * sign < -0.99


def test_the_loss_that_is_learned_from_and_the_one_held_out_have_colours_of_their_own(alone):
    y, x = coloured(alone)
    hues = cv2.cvtColor(alone, cv2.COLOR_BGR2HSV)[y, x, 0]
    assert len(np.unique(hues // 30)) == 2


def test_figures_stand_three_in_a_row(three, alone):
    four = drawn(lines(RISING, FALLING, ("more", np.ones(5))))
    assert 2 * alone.shape[1] < three.shape[1] == four.shape[1] and alone.shape[0] == three.shape[0]
    assert four.shape[0] > 1.5 * three.shape[0]
    empty = four[len(four) // 2 :, four.shape[1] // 2 :]
    assert len(coloured(empty)[0]) == 0  # places of the last row without a figure have no axes


@pytest.mark.parametrize("loss", [np.linspace(1, -1, 5), np.full(5, np.nan)])
def test_losses_that_have_no_logarithm_are_drawn(alone, loss):
    assert drawn(lines(loss=loss)).shape == alone.shape


def test_a_figure_that_is_missing_at_first_is_drawn_from_where_it_is():
    made = lines(RISING)
    del made[0]["held_out"]["f1"], made[1]["held_out"]["f1"]
    image = drawn(made)
    y, x = coloured(image[:, image.shape[1] // 2 :])
    assert len(x) > 100 and np.corrcoef(x, y)[0, 1] < -0.99


def test_one_step_is_drawn(alone):
    assert drawn(lines(steps=1)).shape == alone.shape


def test_no_step_is_drawn_and_the_same_lines_make_the_same_file(alone):
    one, two = (learning_curves([], "toy") for _ in range(2))
    assert one == two and one.startswith(b"\x89PNG")
    assert cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR).shape == alone.shape
