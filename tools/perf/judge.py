"""From a comparison to a verdict, and to how many more pairs an undecided one needs."""

import dataclasses
import math

from tools.perf import comparison, verdicts


@dataclasses.dataclass(frozen=True)
class Rules:
    """min_effect is the smallest shift of the typical time that matters, min_tail_effect that of the tail time, and
    alpha the chance taken of calling one that is not there."""

    min_effect: float = 0.02
    min_tail_effect: float = 0.10
    alpha: float = 0.01
    screen_alpha: float = 0.10
    num_screen_pairs: int = 12
    num_confirm_pairs: int = 30

    def of(self, quantity):
        """The rules by which one quantity is judged: its smallest effect is min_effect of the result."""
        effect = self.min_tail_effect if quantity == TAIL else self.min_effect
        return dataclasses.replace(self, min_effect=effect)


# What is judged of every benchmark, each with a verdict of its own: repetitions.py.
TYPICAL, TAIL = "typical", "tail"
QUANTITIES = (TYPICAL, TAIL)


# What the screen makes of a target that may have changed; no verdict.
SUSPECT = "SUSPECT"

# An answer beyond this many pairs is no plan.
MAX_PAIRS_NAMED = 1000
_FEWEST_MORE_PAIRS = 4


def screen(compared, rules):
    """After screening: SAME, SUSPECT (flagged as slower at screen_alpha) or UNSURE (the interval is too wide)."""
    if _is_same(compared, rules):
        return verdicts.SAME
    if compared.p_slower < rules.screen_alpha:
        return SUSPECT
    return verdicts.UNSURE


def confirm(compared, p_slower, p_faster, rules):
    """The verdict on fresh pairs, with p-values adjusted for the number of targets confirmed."""
    if p_slower < rules.alpha and compared.shift > rules.min_effect:
        return verdicts.SLOWER
    if p_faster < rules.alpha and compared.shift < -rules.min_effect:
        return verdicts.FASTER
    return verdicts.SAME if _is_same(compared, rules) else verdicts.UNSURE


def confirm_all(compared_by_key, rules):
    """The verdicts of all confirmed quantities, Holm's adjustment over all of them; keys are tuples that end with the
    quantity."""
    keys = list(compared_by_key)
    p_slower = comparison.holm([compared_by_key[key].p_slower for key in keys])
    p_faster = comparison.holm([compared_by_key[key].p_faster for key in keys])
    return {
        key: confirm(compared_by_key[key], slower, faster, rules.of(key[-1]))
        for key, slower, faster in zip(keys, p_slower, p_faster)
    }


def pairs_to_decide(compared, rules):
    """How many pairs, all in all, would decide if the shift stayed where it is: the interval narrows with the root."""
    half_width = (math.log1p(compared.shift_high) - math.log1p(compared.shift_low)) / 2
    shift = abs(math.log1p(compared.shift))
    effect = math.log1p(rules.min_effect)
    if shift < effect:
        # The interval's half width must fit between the shift and the effect.
        ratio = half_width / (effect - shift)
    else:
        # The interval must leave zero out, at the stricter one-sided alpha.
        ratio = 1.2 * half_width / shift
    return max(2, math.ceil(min(1e9, compared.num_cand * max(1.0, ratio) ** 2)))


def more_pairs(compared, rules):
    """How many pairs to add to an undecided screen: a third more than seem to decide, for the estimate is rough."""
    wanted = math.ceil(4 / 3 * pairs_to_decide(compared, rules)) - compared.num_cand
    return min(rules.num_confirm_pairs, max(_FEWEST_MORE_PAIRS, wanted))


def unsure_note(compared, rules):
    more = pairs_to_decide(compared, rules) - compared.num_cand
    if more > MAX_PAIRS_NAMED:
        return f"more than {MAX_PAIRS_NAMED} more pairs would be needed"
    return f"about {max(1, more)} more pairs would decide"


def _is_same(compared, rules):
    return -rules.min_effect < compared.shift_low and compared.shift_high < rules.min_effect
