#include "core/kernels/causal_attention/causal_attention.h"

#include <gtest/gtest.h>

#include <limits>

#include "correctness/kernels/kernel_runner.h"
#include "correctness/tolerance/kernel_expectations.h"

namespace sluice {
namespace {

using reference::AttentionShape;
using reference::Values;

Shape QkvShape(const AttentionShape& s) {
  return {s.prefix_len + s.slice_len, s.batch_size, s.num_heads, 3, s.head_dim};
}
Shape OutShape(const AttentionShape& s) {
  return {s.slice_len, s.batch_size, s.num_heads, s.head_dim};
}
Shape LseShape(const AttentionShape& s) { return {s.slice_len, s.batch_size, s.num_heads}; }

// Rows begin .. end - 1 of values with num_rows rows.
Values RowsOf(const Values& values, int64_t num_rows, int64_t begin, int64_t end) {
  const auto row_size = static_cast<int64_t>(values.size()) / num_rows;
  return {values.begin() + begin * row_size, values.begin() + end * row_size};
}

Expectation RowsOf(const Expectation& whole, int64_t num_rows, int64_t begin, int64_t end) {
  Expectation rows{RowsOf(whole.values, num_rows, begin, end),
                   RowsOf(whole.deviation, num_rows, begin, end),
                   RowsOf(whole.certain, num_rows, begin, end)};
  rows.group_size = static_cast<int64_t>(rows.values.size());
  return rows;
}

// The k and v of [.., 3, D].
Values KeysAndValues(const Values& dqkv, int64_t head_dim) {
  Values dkv;
  const auto d = static_cast<size_t>(head_dim);
  for (size_t i = 0; i < dqkv.size(); ++i) {
    if (i / d % 3 != 0) dkv.push_back(dqkv[i]);
  }
  return dkv;
}

Expectation KeysAndValues(const Expectation& dqkv, int64_t head_dim) {
  Expectation dkv{KeysAndValues(dqkv.values, head_dim), KeysAndValues(dqkv.deviation, head_dim),
                  KeysAndValues(dqkv.certain, head_dim)};
  dkv.group_size = static_cast<int64_t>(dkv.values.size());
  return dkv;
}

// Zero for q, and the given k and v: what an accumulator adds to [.., 3, D].
Values WithZeroQueries(const Values& dkv, int64_t head_dim) {
  Values dqkv;
  const auto d = static_cast<size_t>(head_dim);
  for (size_t i = 0; i < dkv.size(); ++i) {
    if (i % (2 * d) == 0) dqkv.insert(dqkv.end(), d, 0.0);
    dqkv.push_back(dkv[i]);
  }
  return dqkv;
}

// The inputs and results of one slice's forward and backward.
struct Pass {
  CausalAttentionForwardArgs forward;
  CausalAttentionBackwardArgs backward;
};

// Runs the forward and makes the backward's arguments: poisoned results, no accumulator.
Pass RunForward(KernelRunner& runner, const AttentionShape& shape, const Values& qkv,
                const Values& dout) {
  Pass pass;
  pass.forward = {.qkv = runner.Put(qkv, QkvShape(shape)),
                  .prefix_len = shape.prefix_len,
                  .out = runner.Poisoned(OutShape(shape)),
                  .lse = runner.Poisoned(LseShape(shape))};
  runner.kernels().CausalAttentionForward(pass.forward);
  pass.backward = {.qkv = pass.forward.qkv,
                   .prefix_len = shape.prefix_len,
                   .out = pass.forward.out,
                   .lse = pass.forward.lse,
                   .dout = runner.Put(dout, OutShape(shape)),
                   .dqkv = runner.Poisoned(QkvShape(shape).WithRows(shape.slice_len))};
  return pass;
}

Shape DkvShape(const AttentionShape& s) {
  return {s.prefix_len + s.slice_len, s.batch_size, s.num_heads, 2, s.head_dim};
}

// One shape in one precision: inputs, and what must come out.
struct Problem {
  AttentionShape shape;
  Arithmetic arithmetic;
  Values qkv, dout;
  AttentionExpectation forward;
  Expectation dqkv;  // of all positions

  Problem(const AttentionShape& s, Precision precision)
      : shape(s),
        arithmetic(ArithmeticOf(precision)),
        qkv(RandomValues("qkv", QkvShape(s).num_elements(), precision)),
        dout(RandomValues("dout", OutShape(s).num_elements(), precision)),
        forward(ExpectCausalAttention(s, qkv, arithmetic)),
        dqkv(ExpectCausalAttentionBackward(s, qkv, dout, arithmetic)) {}

  int64_t num_positions() const { return shape.prefix_len + shape.slice_len; }
  Expectation OwnRows() const {
    return RowsOf(dqkv, num_positions(), shape.prefix_len, num_positions());
  }
  Expectation PrefixRows() const {
    return KeysAndValues(RowsOf(dqkv, num_positions(), 0, shape.prefix_len), shape.head_dim);
  }
};

// The last slice of a sequence: nothing is read from the accumulator, and only the prefix's rows
// are written.
void CheckOverwrite(KernelRunner& runner, const Problem& p) {
  Pass pass = RunForward(runner, p.shape, p.qkv, p.dout);
  ExpectWithin("out", runner.Get(pass.forward.out), p.forward.out);
  ExpectWithin("lse", runner.Get(pass.forward.lse), p.forward.log_sum_exp);
  const Tensor accumulator = runner.Poisoned(DkvShape(p.shape));
  if (p.shape.prefix_len > 0) pass.backward.dkv_accumulator = accumulator;
  runner.kernels().CausalAttentionBackward(pass.backward);
  ExpectWithin("dqkv", runner.Get(pass.backward.dqkv), p.OwnRows());
  const Values dkv = runner.Get(accumulator);
  if (p.shape.prefix_len > 0) {
    ExpectWithin("dkv of the prefix", RowsOf(dkv, p.num_positions(), 0, p.shape.prefix_len),
                 p.PrefixRows());
  }
  const std::vector<bool> untouched =
      WhereNan(RowsOf(dkv, p.num_positions(), p.shape.prefix_len, p.num_positions()));
  EXPECT_EQ(untouched, std::vector<bool>(untouched.size(), true));
}

// A slice before others: their gradients are added, and the prefix's rows accumulate.
void CheckAccumulate(KernelRunner& runner, const Problem& p, Precision precision) {
  Pass pass = RunForward(runner, p.shape, p.qkv, p.dout);
  const Values later = RandomValues("later", DkvShape(p.shape).num_elements(), precision);
  pass.backward.dkv_accumulator = runner.Put(later, DkvShape(p.shape));
  pass.backward.write_mode = WriteMode::kAccumulate;
  runner.kernels().CausalAttentionBackward(pass.backward);
  const Values own = RowsOf(later, p.num_positions(), p.shape.prefix_len, p.num_positions());
  ExpectWithin("dqkv +=", runner.Get(pass.backward.dqkv),
               ThenAdd(p.OwnRows(), WithZeroQueries(own, p.shape.head_dim), p.arithmetic));
  if (p.shape.prefix_len == 0) return;
  ExpectWithin(
      "dkv of the prefix +=",
      RowsOf(runner.Get(pass.backward.dkv_accumulator), p.num_positions(), 0, p.shape.prefix_len),
      ThenAdd(p.PrefixRows(), RowsOf(later, p.num_positions(), 0, p.shape.prefix_len),
              p.arithmetic));
}

class CausalAttention : public testing::TestWithParam<KernelSetup> {
 protected:
  void Check(const AttentionShape& shape) {
    SCOPED_TRACE(testing::Message() << "slice_len " << shape.slice_len << ", prefix_len "
                                    << shape.prefix_len << ", head_dim " << shape.head_dim);
    const Problem problem(shape, GetParam().precision);
    KernelRunner runner(GetParam());
    CheckOverwrite(runner, problem);
    CheckAccumulate(runner, problem, GetParam().precision);
  }
};

// The kernel goes through blocks of 128 queries and 256 keys: lengths on both sides of each edge.
TEST_P(CausalAttention, AtTheEdgesOfBlocks) {
  for (const int64_t slice_len : {1, 127, 128, 129, 300}) {
    for (const int64_t prefix_len : {0, 1, 127, 128, 129, 256, 300}) {
      Check({slice_len, prefix_len, /*batch_size=*/1, /*num_heads=*/2, /*head_dim=*/5});
    }
  }
}

TEST_P(CausalAttention, OfEachHeadDim) {
  for (const int64_t head_dim : {1, 16, 64, 80, 96, 128}) {
    Check({37, 20, /*batch_size=*/2, /*num_heads=*/3, head_dim});
    Check({130, 129, /*batch_size=*/1, /*num_heads=*/1, head_dim});
  }
}

TEST_P(CausalAttention, OfManySequences) { Check({9, 5, /*batch_size=*/5, /*num_heads=*/3, 16}); }

// The slices of a sequence, forwards and then backwards in reverse order, give what the sequence
// gives at once.
TEST_P(CausalAttention, SlicesInReverseGiveTheSequence) {
  const AttentionShape whole = {430, 0, /*batch_size=*/2, /*num_heads=*/1, 16};
  const Problem p(whole, GetParam().precision);
  KernelRunner runner(GetParam());
  const Tensor qkv = runner.Put(p.qkv, QkvShape(whole));
  const Tensor dout = runner.Put(p.dout, OutShape(whole)), out = runner.Poisoned(OutShape(whole));
  const Tensor lse = runner.Poisoned(LseShape(whole)), dqkv = runner.Poisoned(QkvShape(whole));
  const Tensor accumulator = runner.Poisoned(DkvShape(whole));
  const std::vector<int64_t> begins = {0, 1, 129, 300, 301, 430};
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    const int64_t len = begins[i + 1] - begins[i];
    runner.kernels().CausalAttentionForward({.qkv = qkv,
                                             .prefix_len = begins[i],
                                             .out = out.Rows(begins[i], len),
                                             .lse = lse.Rows(begins[i], len)});
  }
  ExpectWithin("out", runner.Get(out), p.forward.out);
  for (size_t i = begins.size() - 1; i-- > 0;) {
    const int64_t len = begins[i + 1] - begins[i];
    const bool is_last = i + 2 == begins.size();
    runner.kernels().CausalAttentionBackward(
        {.qkv = qkv,
         .prefix_len = begins[i],
         .out = out.Rows(begins[i], len),
         .lse = lse.Rows(begins[i], len),
         .dout = dout.Rows(begins[i], len),
         .dqkv = dqkv.Rows(begins[i], len),
         .dkv_accumulator = accumulator,
         .write_mode = is_last ? WriteMode::kOverwrite : WriteMode::kAccumulate});
  }
  ExpectWithin("dqkv", runner.Get(dqkv), p.dqkv);
}

// Bit for bit what one thread gives.
TEST_P(CausalAttention, DoesNotDependOnThreads) {
  const AttentionShape shape = {300, 140, /*batch_size=*/1, /*num_heads=*/3, 20};
  const Values qkv = RandomValues("qkv", QkvShape(shape).num_elements(), GetParam().precision);
  const Values dout = RandomValues("dout", OutShape(shape).num_elements(), GetParam().precision);
  const auto run = [&](int num_threads) {
    KernelRunner runner({GetParam().precision, num_threads});
    Pass pass = RunForward(runner, shape, qkv, dout);
    pass.backward.dkv_accumulator =
        runner.Put(Values(static_cast<size_t>(DkvShape(shape).num_elements())), DkvShape(shape));
    runner.kernels().CausalAttentionBackward(pass.backward);
    return std::vector<Values>{runner.Get(pass.forward.out), runner.Get(pass.forward.lse),
                               runner.Get(pass.backward.dqkv),
                               runner.Get(pass.backward.dkv_accumulator)};
  };
  EXPECT_EQ(run(GetParam().num_threads), run(1));
}

// A later key must not reach an earlier query, another head or another sequence.
TEST_P(CausalAttention, NanOfAKeyReachesItsLaterQueriesOnly) {
  const AttentionShape shape = {150, 20, /*batch_size=*/2, /*num_heads=*/2, 16};
  Values qkv = RandomValues("qkv", QkvShape(shape).num_elements(), GetParam().precision);
  const Values dout = RandomValues("dout", OutShape(shape).num_elements(), GetParam().precision);
  constexpr size_t kPosition = 60, kSequence = 1, kHead = 0, kPair = kSequence * 2 + kHead;
  qkv[((kPosition * 4 + kPair) * 3 + 1) * 16 + 3] = std::numeric_limits<double>::quiet_NaN();
  KernelRunner runner(GetParam());
  Pass pass = RunForward(runner, shape, qkv, dout);
  const std::vector<bool> out = WhereNan(runner.Get(pass.forward.out));
  const std::vector<bool> lse = WhereNan(runner.Get(pass.forward.lse));
  for (size_t i = 0; i < lse.size(); ++i) {
    const bool expected = i % 4 == kPair && 20 + i / 4 >= kPosition;
    EXPECT_EQ(lse[i], expected) << i;
    for (size_t d = 0; d < 16; ++d) EXPECT_EQ(out[i * 16 + d], expected) << i;
  }
}

// Scores of thousands: exp would overflow without the running maximum.
TEST_P(CausalAttention, OfLargeScores) {
  const AttentionShape shape = {140, 130, /*batch_size=*/1, /*num_heads=*/1, 16};
  Values qkv = RandomValues("qkv", QkvShape(shape).num_elements(), GetParam().precision);
  for (size_t i = 0; i < qkv.size(); ++i) {
    if (i / 16 % 3 != 2) qkv[i] *= 32;
  }
  KernelRunner runner(GetParam());
  const Values dout(static_cast<size_t>(OutShape(shape).num_elements()), 1.0);
  const Pass pass = RunForward(runner, shape, qkv, dout);
  const AttentionExpectation expected = ExpectCausalAttention(shape, qkv, GetParam().arithmetic());
  ExpectWithin("out", runner.Get(pass.forward.out), expected.out);
  ExpectWithin("lse", runner.Get(pass.forward.lse), expected.log_sum_exp);
}

INSTANTIATE_TEST_SUITE_P(Cpu, CausalAttention, testing::ValuesIn(CpuSetups()), TestName);

}  // namespace
}  // namespace sluice
