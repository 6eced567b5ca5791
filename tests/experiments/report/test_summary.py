"""What a report answers: the best method, by how much, and noise."""

import pytest
from pages import finished
from scipy import stats

from experiments import results
from experiments.report import forest as report_forest
from experiments.report import summary as report_summary
from experiments.report.summary import p_value
from metaaux.errors import UserError
from metaaux.run import confidence_intervals


def answer(folder, baseline=""):
  found = results.load(str(folder))
  names = {r["workdir"]: r["name"] for r in found}
  summary = report_summary.summarise(found, names, baseline)
  (only,) = summary.answers
  return only, " ".join(only.sentences).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
  "runs, headline, below",
  [
    (
      {"single": [0.5, 0.6, 0.7], "maxl": [0.6, 0.71, 0.8]},
      "maxl is best: +10.33 ± 1.43 points over single, more than seed noise.",
      "It reaches 70.33 ± 24.88 %.",
    ),
    (
      {"single": [0.5, 0.6, 0.7], "maxl": [0.5, 0.7, 0.6]},
      "maxl does not beat single by more than seed noise.",
      "single itself has the highest mean, 60.00 ± 24.84 %.",
    ),
    (
      {"single": [0.5, 0.6, 0.7], "maxl": [0.4, 0.51, 0.6]},
      "maxl is worse than single by more than seed noise.",
      "single itself has the highest mean, 60.00 ± 24.84 %.",
    ),
    # The highest mean is noise, a lower one is not.
    (
      {
        "single": [0.50, 0.60, 0.70],
        "uniform": [0.52, 0.62, 0.721],
        "maxl": [0.5, 0.6, 0.9],
      },
      "uniform beats single by more than seed noise.",
      "The highest mean is that of maxl, 66.67 ± 51.71 %, which is within "
      "noise of single. Over single that is +6.67 ± 28.68 points (3 paired "
      "seeds). After Holm's correction for 2 comparisons, that stands (5% "
      "level).",
    ),
    (
      {
        "single": [0.50, 0.60, 0.70],
        "uniform": [0.6, 0.69, 0.80],
        "maxl": [0.61, 0.71, 0.809],
      },
      "maxl is best: +10.97 ± 0.14 points over single, more than seed noise.",
      "It reaches 70.97 ± 24.72 %. Over the next best, uniform, it is +1.30 ± "
      "1.51 points (3 paired seeds), within noise. uniform beats single, too. "
      "After Holm's correction for 2 comparisons, that stands (5% level).",
    ),
    (
      {"single": [0.5], "maxl": [0.6]},
      "maxl is highest, but one seed says nothing of noise.",
      "It reaches 60.00 %. Over single that is +10.00 points (1 paired seed).",
    ),
    (
      {"maxl": [0.5, 0.6, 0.7]},
      "maxl reaches 60.00 ± 24.84 % over 3 seeds.",
      "There is no second run of this setting to compare it with: train a "
      "baseline with the same seeds beside it, such as method=single.",
    ),
  ],
)
def test_the_answer_in_words(tmp_path, runs, headline, below):
  for name, per_seed in runs.items():
    finished(tmp_path, name, per_seed)
  found, sentences = answer(tmp_path)
  assert found.headline.replace("\N{NO-BREAK SPACE}", " ") == headline
  assert sentences == below


def test_a_finding_that_does_not_survive_the_correction(tmp_path):
  """One of three intervals leaves out zero by a hair."""
  finished(tmp_path, "single", [0.5, 0.5, 0.5])
  finished(tmp_path, "uniform", [0.51, 0.52, 0.53])  # t = 3.46, p = 0.074
  finished(tmp_path, "human", [0.515, 0.52, 0.531])  # t = 4.63, p = 0.044
  finished(tmp_path, "maxl", [0.49, 0.5, 0.52])
  found, sentences = answer(tmp_path)
  assert [bar.verdict for bar in found.bars] == [
    "within noise",
    "better",
    "within noise",
  ]
  assert "for 3 comparisons, none of that stands" in sentences


def test_p_values_are_those_of_the_paired_t_test():
  ours, theirs = [0.5, 0.61, 0.72, 0.8], [0.48, 0.6, 0.75, 0.7]
  mean, half = confidence_intervals.paired(ours, theirs)
  expected = stats.ttest_rel(ours, theirs).pvalue
  assert p_value(mean, half, 4) == pytest.approx(expected, rel=1e-9)
  assert p_value(0.1, 0.0, 4) == 0 and p_value(0.0, 0.0, 4) == 1


def test_the_forest_plot_has_one_scale(tmp_path):
  finished(tmp_path, "single", [0.5, 0.6, 0.7])
  finished(tmp_path, "uniform", [0.51, 0.61, 0.71])
  finished(tmp_path, "maxl", [0.47, 0.6, 0.73])
  found, _ = answer(tmp_path)
  places = {round(float(text.replace("−", "-"))): x for x, text in found.ticks}
  unit = (places[5] - places[0]) / 5
  assert places[0] == found.zero
  sharp, wide = found.bars
  assert sharp.width == pytest.approx(0, abs=0.02)
  assert sharp.middle - found.zero == pytest.approx(unit, abs=0.03)
  # -3, 0 and +3 points: the half-width is 4.303 * 3 / sqrt(3).
  assert wide.middle == found.zero
  assert wide.width == pytest.approx(2 * 7.452 * unit, abs=0.1)
  assert wide.alt == (
    "maxl: +0.00 points, 95% interval −7.45 to +7.45, within noise"
  )
  assert 4 <= len(found.ticks) <= 9
  for bar in found.bars:
    assert bar.left >= 0 and bar.left + bar.width <= 100


@pytest.mark.parametrize("low, high", [(-3, 1), (-0.02, 0.5), (0, 61.3)])
def test_ticks_are_round_and_few(low, high):
  found = report_forest._ticks(low, high)
  assert 4 <= len(found) <= 9 and low <= found[0] and found[-1] <= high


def test_a_baseline_that_is_not_there(tmp_path):
  finished(tmp_path, "uniform", [0.5, 0.6])
  finished(tmp_path, "maxl", [0.6, 0.5])
  with pytest.raises(UserError, match="0 runs are of method 'single'"):
    answer(tmp_path, "single")
  # Of itself the report takes the first control.
  assert answer(tmp_path)[0].baseline == "uniform"
  finished(tmp_path / "more", "single", [0.5, 0.6])
  finished(tmp_path / "most", "single", [0.5, 0.6], num_steps=7)
  found, sentences = answer(tmp_path)
  assert found.headline == "These runs are not compared."
  assert "2 runs are of method 'single'" in sentences
