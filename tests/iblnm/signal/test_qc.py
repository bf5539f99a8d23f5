from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.config import SignalSettings
from iblnm.errors import MalformedFileError
from iblnm.schemas import QC_PHOTOMETRY
from iblnm.signal.metrics import metrics
from iblnm.signal.qc import qc_table, sliding_metrics
from iblnm.signal.qc import raw_frame_metrics as measure_frames

NAMES = [metric.name for metric in metrics("windows")]


def raw_frame_metrics(times, led, tolerance_s=0.001):
    return measure_frames(times, led, tolerance_s=tolerance_s)


def frames(n=1000, rate=60.0, pattern=(2, 1)):
    led = np.concatenate([[7], np.resize(pattern, n - 1)])
    return np.arange(n) / rate, led


class TestRawFrames:
    def test_clean_alternation(self):
        metrics = raw_frame_metrics(*frames())
        assert metrics["n_band_inversions"] == metrics["n_early_samples"] == 0
        assert metrics["n_bridged"] == 0
        assert metrics["n_frames"] == 999
        assert metrics["median_interval_s"] == pytest.approx(1 / 60)

    def test_counts_consecutive_frames_of_one_led(self):
        times, led = frames()
        led[500:] = np.where(led[500:] == 2, 1, 2)
        assert raw_frame_metrics(times, led)["n_band_inversions"] == 1
        led[700] = led[699]
        assert raw_frame_metrics(times, led)["n_band_inversions"] == 3

    def test_first_frame_is_left_out(self):
        times, led = frames()
        led[0] = led[1]
        times[0] = times[1] - 1e-6
        metrics = raw_frame_metrics(times, led)
        assert (metrics["n_band_inversions"], metrics["n_early_samples"]) == (0, 0)

    @pytest.mark.parametrize("lost", [[400], [400, 401], [10, 11, 12, 500, 700, 701], [1], [999]])
    def test_regular_gaps_are_bridged(self, lost):
        times, led = frames()
        led[lost] = 0
        metrics = raw_frame_metrics(times, led)
        assert metrics["n_band_inversions"] == 0
        assert metrics["n_bridged"] == len(lost)

    def test_bridge_does_not_hide_an_inversion(self):
        times, led = frames()
        led = np.delete(led, 400)
        led[450] = 0
        assert raw_frame_metrics(times[:-1], led)["n_band_inversions"] == 1
        swapped = frames()[1]
        swapped[500:] = np.where(swapped[500:] == 2, 1, 2)
        swapped[499] = 0
        metrics = raw_frame_metrics(times, swapped)
        assert (metrics["n_band_inversions"], metrics["n_bridged"]) == (1, 1)

    def test_irregular_gap_is_not_bridged(self):
        times, led = frames()
        led[400:402] = 0
        times[401:] += 0.5
        metrics = raw_frame_metrics(times, led)
        assert metrics["n_bridged"] == 0
        assert metrics["n_band_inversions"] == 1

    def test_dark_frames_of_the_pattern_are_a_state(self):
        times, led = frames(pattern=(2, 0))
        metrics = raw_frame_metrics(times, led)
        assert (metrics["n_band_inversions"], metrics["n_bridged"]) == (0, 0)
        led[500:] = np.where(led[500:] == 2, 0, 2)
        assert raw_frame_metrics(times, led)["n_band_inversions"] == 1

    def test_pattern_of_three_leds(self):
        times, led = frames(pattern=(1, 2, 4))
        led[[300, 301]] = 0
        metrics = raw_frame_metrics(times, led)
        assert (metrics["n_band_inversions"], metrics["n_bridged"]) == (0, 2)

    def test_early_frames(self):
        times, led = frames()
        times[300] -= 0.0015
        times[600] -= 0.0005
        assert raw_frame_metrics(times, led)["n_early_samples"] == 1
        assert raw_frame_metrics(times, led, tolerance_s=1e-4)["n_early_samples"] == 2

    @pytest.mark.parametrize(
        ("times", "led", "message"),
        [
            (np.arange(2.0), np.array([1, 2]), "2 frames; at least 3"),
            (np.array([0, 1, np.nan, 3]), np.array([7, 1, 2, 1]), "1 of 3 times are not finite"),
            (np.arange(5.0), np.array([7, 1, 2]), "must be as many"),
        ],
    )
    def test_unusable_frames_are_named(self, times, led, message):
        with pytest.raises(MalformedFileError, match=message):
            raw_frame_metrics(times, led)

    @pytest.mark.real
    @pytest.mark.parametrize(
        ("path", "led", "time"),
        [
            ("mainenlab/Subjects/ZFM-03059/2021-08-27/001", "Flags", "Timestamp"),
            ("mainenlab/Subjects/ZFM-06275/2024-01-16/001", "LedState", "Timestamp"),
            ("mainenlab/Subjects/ZFM-08488/2025-03-05/001", "LedState", "SystemTimestamp"),
            ("cortexlab/Subjects/CQ002/2024-11-05/001", "LedState", "SystemTimestamp"),
            ("wittenlab/Subjects/fip_40/2023-05-18/001", "LedState", "Timestamp"),
        ],
    )
    def test_real_frames_have_no_inversion(self, real_data, path, led, time):
        name = "raw_photometry_data/_neurophotometrics_fpData.raw.pqt"
        raw = pd.read_parquet(real_data / "alf" / path / name, columns=[led, time])
        metrics = raw_frame_metrics(raw[time].to_numpy(), raw[led].to_numpy() & 7)
        assert metrics["n_band_inversions"] == metrics["n_early_samples"] == 0
        assert metrics["n_bridged"] == 0
        assert metrics["n_frames"] == len(raw) - 1


def library_windows(bands):
    """`iblphotometry.qc.qc_signals`, one row per band, recording and window."""
    import iblphotometry.fpio  # noqa: F401
    from iblphotometry import metrics
    from iblphotometry.qc import qc_signals

    table = qc_signals(
        bands,
        [getattr(metrics, name) for name in NAMES if hasattr(metrics, name)],
        metrics_kwargs={"percentile_asymmetry": {"pc_comp": 75}},
        sliding_kwargs={"w_len": 120, "step_len": 60, "detrend": True},
    )
    return table.dropna(subset="window").pivot_table(
        index=["band", "brain_region", "window"], columns="metric", values="value"
    )


def assert_equals_library(bands):
    expected = library_windows(bands)
    for band, frame in bands.items():
        for name in frame:
            ours = sliding_metrics(frame.index.to_numpy(), frame[name].to_numpy())
            theirs = expected.loc[(band, name)]
            np.testing.assert_allclose(ours["window"], theirs.index, rtol=0, atol=1e-9)
            for metric in NAMES:
                np.testing.assert_allclose(ours[metric], theirs[metric], rtol=1e-9)
    return len(expected)


class TestSlidingMetrics:
    @pytest.mark.parametrize("fs", [15.0, 29.97, 50.0])
    @pytest.mark.slow
    def test_equals_library_window_by_window(self, make_bands, fs):
        bands = make_bands(fs=fs, duration_s=630)
        assert assert_equals_library(bands) == 2 * 2 * 9

    def test_equals_library_with_lost_frames(self, make_bands):
        bands = make_bands(recordings=("VTA",), isosbestic=False)
        frame = bands["GCaMP"]
        bands["GCaMP"] = frame.drop(frame.index[[500, 4000, 4001, 9000]])
        assert assert_equals_library(bands) == 8

    def test_equals_library_on_smooth_signal(self):
        times = np.arange(0, 400, 1 / 30)
        values = np.sin(times / 7) + 0.1 * np.sin(times * 3)
        frame = pd.DataFrame({"VTA": values}, index=times)
        assert assert_equals_library({"GCaMP": frame}) == 5

    @pytest.mark.real
    def test_equals_library_on_real_recording(self, cq002):
        bands = {band: frame.iloc[20000:40000] for band, frame in cq002[0].items()}
        assert assert_equals_library(bands) == 2 * 2 * 10

    def test_shorter_than_a_window_gives_one_window(self):
        rng = np.random.default_rng(1)
        times, values = np.arange(0, 50, 1 / 30), rng.normal(size=1500)
        table = sliding_metrics(times, values)
        assert len(table) == 1
        assert table["window"][0] == pytest.approx(times[-1] / 2)
        residual = values - np.polyval(np.polyfit(times, values, 1), times)
        mad = np.median(np.abs(residual - np.median(residual)))
        assert table["median_absolute_deviance"][0] == pytest.approx(mad, rel=1e-9)

    def test_too_few_values_empty_their_windows_only(self):
        rng = np.random.default_rng(2)
        times, values = np.arange(0, 600, 1 / 30), rng.normal(size=18000)
        clean = sliding_metrics(times, values)
        values[(100 * 30) : (107 * 30)] = np.nan  # 5.8 % of a window
        table = sliding_metrics(times, values)
        assert table.loc[:1, NAMES].isna().all(axis=None)
        pd.testing.assert_frame_equal(table.loc[2:], clean.loc[2:])
        # frames that are not there count like frames that are not valid
        known = np.isfinite(values)
        absent = sliding_metrics(times[known], values[known])
        assert absent.loc[:1, NAMES].isna().all(axis=None)
        wider = sliding_metrics(times, values, min_coverage=0.9)
        assert wider[NAMES].notna().all(axis=None)

    def test_a_few_missing_values_cost_no_window(self):
        rng = np.random.default_rng(2)
        times = np.arange(0, 600, 1 / 30)
        noise = rng.normal(size=18000)
        values = np.empty(18000)
        values[:2] = noise[:2]
        for i in range(2, 18000):
            values[i] = 0.9 * values[i - 1] - 0.3 * values[i - 2] + noise[i]
        clean = sliding_metrics(times, values)
        values[rng.choice(18000, 36, replace=False)] = np.nan  # 0.2 %
        table = sliding_metrics(times, values)
        assert table[NAMES].notna().all(axis=None)
        np.testing.assert_allclose(table["ar_score"], clean["ar_score"], atol=0.003)
        np.testing.assert_allclose(table[NAMES], clean[NAMES], rtol=0.02)

    @pytest.mark.parametrize("values", [np.zeros(9000), np.full(9000, 0.3)])
    def test_constant_signal(self, values):
        table = sliding_metrics(np.arange(9000) / 30, values)
        assert (table["median_absolute_deviance"] == 0).all()
        undefined = table.drop(columns=["window", "median_absolute_deviance"])
        assert undefined.isna().all(axis=None)

    def test_straight_line_is_flat(self):
        times = np.arange(9000) / 30
        table = sliding_metrics(times, 3.0 + 0.01 * times)
        assert table["ar_score"].isna().all()

    def test_non_increasing_times_are_refused(self):
        with pytest.raises(MalformedFileError, match="do not increase at 1 of 2 steps"):
            sliding_metrics(np.array([0.0, 1.0, 1.0]), np.zeros(3))


class TestQcTable:
    def test_rows_and_columns(self, make_bands):
        bands = make_bands()
        raw = {"n_band_inversions": 2, "n_early_samples": 3, "n_late_samples": 4}
        raw["lost_frame_fraction"] = 0.125
        table = qc_table(bands, eid="e", fiber_idx={"VTA": 0, "DR": 1}, raw=raw)
        # the source is known to the stage
        assert QC_PHOTOMETRY.names == [*table.columns, "source"]
        QC_PHOTOMETRY.validate(QC_PHOTOMETRY.conform(table))
        assert table["brain_region"].tolist() == ["VTA", "DR", "VTA", "DR"]
        assert table["fiber_idx"].tolist() == [0, 1, 0, 1]
        assert (table["n_band_inversions"] == 2).all()
        assert (table["n_early_samples"] == 3).all()
        assert (table["n_late_samples"] == 4).all()
        assert (table["lost_frame_fraction"] == 0.125).all()
        assert (table["window_share"] == 1).all()
        assert (table["missing_fraction"] == 0).all()
        signal = table["band"] == "GCaMP"
        assert table.loc[signal, "iso_correlation"].between(0.5, 1).all()
        assert table.loc[~signal, ["iso_correlation", "bleaching_tau"]].isna().all(axis=None)

    def test_value_is_the_mean_over_windows(self, make_bands):
        bands = make_bands(recordings=("VTA",))
        table = qc_table(bands, eid="e", fiber_idx={"VTA": 0})
        for i, frame in enumerate(bands.values()):
            windows = sliding_metrics(frame.index.to_numpy(), frame["VTA"].to_numpy())
            for name in NAMES:
                assert table[name][i] == pytest.approx(windows[name].mean(), rel=1e-12)
        assert table["n_band_inversions"].isna().all()

    def test_unique_samples_are_of_the_raw_values(self, make_bands):
        bands = make_bands(recordings=("VTA",), isosbestic=False)
        frame = bands["GCaMP"]
        frame["VTA"] = np.resize(np.linspace(0.01, 0.02, 100), len(frame))
        frame.iloc[:600] = np.nan
        table = qc_table(bands, eid="e", fiber_idx={"VTA": 0})
        assert table["n_unique_samples"][0] == pytest.approx(100 / (len(frame) - 600))
        assert "2 of 8 windows" not in table["note"][0]
        assert "1 of 8 windows unusable for all metrics" in table["note"][0]
        assert "no isosbestic band" in table["note"][0]

    def test_nothing_valid_is_a_note_not_a_failure(self, make_bands):
        bands = make_bands(recordings=("VTA",))
        for frame in bands.values():
            frame[:] = np.nan
        table = qc_table(bands, eid="e", fiber_idx={"VTA": 0})
        assert table.loc[0, [*NAMES, "n_unique_samples", "bleaching_tau"]].isna().all()
        assert "bleaching_tau: 0 valid samples" in table["note"][0]
        assert "iso_correlation: the bands do not vary together" in table["note"][0]

    def test_window_lengths_come_from_the_settings(self, make_bands):
        bands = make_bands(duration_s=200, recordings=("VTA",))
        settings = SignalSettings(qc_window_s=30, qc_step_s=10)
        table = qc_table(bands, eid="e", fiber_idx={"VTA": 0}, settings=settings)
        frame = bands["GCaMP"]
        windows = sliding_metrics(
            frame.index.to_numpy(), frame["VTA"].to_numpy(), window_s=30, step_s=10
        )
        assert len(windows) == 17
        assert table["ar_score"][0] == pytest.approx(windows["ar_score"].mean(), rel=1e-12)

    def test_metrics_describe_themselves(self):
        for metric in metrics():
            assert metric.description
            column = next(c for c in QC_PHOTOMETRY.columns if c.name == metric.name)
            assert (column.unit, column.description) == (metric.unit, metric.description)
            assert (column.ge, column.le) == metric.bounds

    @pytest.mark.real
    def test_unique_fraction_of_real_recording(self, cq002):
        from iblnm.signal.preprocess import restrict_to_task

        bands, trials = cq002
        bands = restrict_to_task(bands, trials.intervals_0.iloc[0], trials.intervals_1.iloc[-1])
        table = qc_table(bands, eid="e", fiber_idx={"SI": 0, "PPT": 1})
        assert table["n_unique_samples"][0] == pytest.approx(0.125, abs=5e-4)
        assert table["n_unique_samples"][1] == pytest.approx(0.230, abs=5e-4)
