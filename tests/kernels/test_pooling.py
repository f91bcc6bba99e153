"""Tests for the kernels of pooling: windows on paper, and NaN."""

import math

import numpy as np
import pytest

from lsqsim_kernels import pooling

F = np.float32


def image(rows):
    return np.array(rows, F)[None, :, :, None]


def max_pool(rows, kernel, stride, padding=(0, 0), size=(1, 1)):
    out, winner = np.empty((1, *size, 1), F), np.empty((1, *size, 1), np.int32)
    pooling.max_pool(image(rows), *kernel, *stride, *padding, out, winner)
    return out[0, :, :, 0].tolist(), winner[0, :, :, 0].tolist()


class TestMaxPool:
    def test_of_equals_the_first_wins(self):
        assert max_pool([[1, 5, 5], [5, 0, 0]], (2, 3), (1, 1)) == ([[5.0]], [[1]])

    def test_padding_never_wins(self):
        rows = [[-3, -4], [-5, -6]]
        out, winner = max_pool(rows, (2, 2), (1, 1), (1, 1), (3, 3))
        assert out == [[-3, -3, -4], [-3, -3, -4], [-5, -5, -6]]
        assert winner == [[3, 2, 2], [1, 0, 0], [1, 0, 0]]

    def test_stride(self):
        rows = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 0]]
        assert max_pool(rows, (1, 2), (1, 3), (0, 0), (2, 2))[0] == [[2, 5], [7, 9]]

    @pytest.mark.parametrize("place", range(4))
    def test_nan_wins_wherever_it_stands(self, place):
        values = [1.0, 2.0, 3.0, 4.0]
        values[place] = math.nan
        out, winner = max_pool([values[:2], values[2:]], (2, 2), (1, 1))
        assert math.isnan(out[0][0])
        assert winner == [[place]]

    def test_infinities(self):
        assert max_pool([[-math.inf, -math.inf]], (1, 2), (1, 1)) == ([[-math.inf]], [[0]])
        assert max_pool([[0.0, math.inf]], (1, 2), (1, 1)) == ([[math.inf]], [[1]])

    def test_gradient_goes_to_the_winner_and_adds_up(self):
        """Windows (1 x 2) of 1 9 2, stride 1: both are won by the 9; then with padding."""
        grad, winner = np.array([2.0, 3.0], F), np.array([1, 0], np.int32)
        dx = np.zeros((1, 1, 3, 1), F)
        pooling.max_pool_gradient(
            grad.reshape(1, 1, 2, 1), winner.reshape(1, 1, 2, 1), 2, 1, 1, 0, 0, dx
        )
        assert dx.reshape(-1).tolist() == [0, 5, 0]
        dx = np.zeros((1, 2, 2, 1), F)
        pooling.max_pool_gradient(
            np.full((1, 1, 1, 1), 7.0, F), np.full((1, 1, 1, 1), 5, np.int32), 3, 1, 1, 1, 1, dx
        )
        assert dx.reshape(-1).tolist() == [0, 7, 0, 0]


class TestAveragePool:
    def test_forward(self):
        out = np.empty((1, 1, 2, 1), F)
        pooling.average_pool(image([[1, 2, 3], [5, 6, 7]]), 2, 2, 1, 1, out)
        assert out.reshape(-1).tolist() == [3.5, 4.5]

    def test_gradient(self):
        dx = np.zeros((1, 2, 3, 1), F)
        pooling.average_pool_gradient(np.array([4.0, 8.0], F).reshape(1, 1, 2, 1), 2, 2, 1, 1, dx)
        assert dx.reshape(2, 3).tolist() == [[1, 3, 2], [1, 3, 2]]
