"""Filters over time: motion of any kind as [T, ...] -> [T, ...], every number by itself.

Rotations go through as matrices, with `rotations.nearest` after the filter.
"""

import numpy as np

_SPEED_CUTOFF = 1.0  # Hz, of the speed that the one-euro filter goes by


def savitzky_golay(values: np.ndarray, window: int = 9, order: int = 2) -> np.ndarray:
    """Least-squares polynomials over a moving window (Savitzky and Golay 1964).

    Args:
      values: [T, ...].
      window: frames, an odd number; of shorter motion the longest odd number that fits.
      order: degree of the polynomials; motion of no more frames than that is left as it is.

    Raises:
      ValueError: an even window, or one that is not longer than the order.
    """
    if window % 2 == 0 or window <= order or order < 0:
        raise ValueError(
            f"got window={window} and order={order}, expected an odd window longer than the order"
        )
    fitting = min(window, len(values) - 1 + len(values) % 2)
    if fitting <= order:
        return values
    from scipy.signal import savgol_filter  # slow to import

    return np.asarray(savgol_filter(values, fitting, order, axis=0, mode="interp"))


def one_euro(
    values: np.ndarray, fps: float, min_cutoff: float = 1.0, beta: float = 0.0
) -> np.ndarray:
    """The one-euro filter (Casiez, Roussel and Vogel 2012): causal, and less of it in fast motion.

    Args:
      values: [T, ...].
      fps: frames a second.
      min_cutoff: Hz, of values at rest; smaller is smoother.
      beta: Hz by which the cutoff grows for each unit a second; larger lags less.

    Raises:
      ValueError: a rate or cutoff that is not positive, or a negative beta.
    """
    if not (fps > 0 and min_cutoff > 0 and beta >= 0):
        raise ValueError(
            f"got fps={fps}, min_cutoff={min_cutoff}, beta={beta}, expected positive ones "
            "(beta: or 0)"
        )
    smooth = np.array(values, np.float64)
    speed = np.zeros_like(smooth[:1])
    for now in range(1, len(smooth)):
        change = (values[now] - smooth[now - 1]) * fps
        speed = speed + _share(_SPEED_CUTOFF, fps) * (change - speed)
        share = _share(min_cutoff + beta * np.abs(speed[0]), fps)
        smooth[now] = smooth[now - 1] + share * (values[now] - smooth[now - 1])
    return smooth.astype(np.result_type(values, np.float32))


def _share(cutoff: np.ndarray | float, fps: float) -> np.ndarray | float:
    """How much of a new value a low-pass filter of first order takes."""
    return 1 / (1 + fps / (2 * np.pi * cutoff))


def fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values where they are known; elsewhere linear between known ones, held at the ends.

    Args:
      values: [T, J, ...].
      known: bool [T, J]; a column without any known value stays as it is.
    """
    out = np.array(values, np.float64).reshape(*known.shape, -1)
    frames = np.arange(len(out))
    for column in np.flatnonzero(known.any(0) & ~known.all(0)):
        rows = np.flatnonzero(known[:, column])
        for channel in range(out.shape[-1]):
            out[:, column, channel] = np.interp(frames, rows, out[rows, column, channel])
    return out.reshape(values.shape)
