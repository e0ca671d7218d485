#include "bench/comparison/comparison_rows.h"

#include <algorithm>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "parallel/schedule/slices.h"
#include "parallel/schemes/schemes.h"
#include "programs/job_flags.h"

namespace sluice {
namespace {

constexpr int kNumSlices = 4;
constexpr int kNumChunks = 2;

int NumMicroBatches(const Scheme& scheme, int num_sequences) {
  if ((scheme.shape_fields & kUsesRanks) == 0) return 1;
  if ((scheme.shape_fields & kUsesSlices) == 0) return num_sequences;
  // TeraPipe has one micro-batch; the other schemes with slices are made for several.
  return scheme.name != "seqpipe" && num_sequences % 2 == 0 ? 2 : 1;
}

void SetNumbers(const GivenNumbers& given, JobConfig* config) {
  const Scheme& scheme = FindScheme(config->scheme);
  const auto num_sequences = static_cast<int>(config->batch_size / config->sizes.data);
  if (scheme.shape_fields & kUsesMicroBatches) {
    config->num_micro_batches = given.num_micro_batches > 0
                                    ? given.num_micro_batches
                                    : NumMicroBatches(scheme, num_sequences);
  }
  if (scheme.shape_fields & kUsesChunks) {
    config->num_chunks = given.num_chunks > 0 ? given.num_chunks : kNumChunks;
  }
  if ((scheme.shape_fields & kUsesSlices) && (scheme.shape_fields & kUsesRanks)) {
    const int64_t num_slices =
        given.num_slices > 0 ? given.num_slices : RoundUp(kNumSlices, config->sizes.pipeline);
    config->slices = UniformSlices(config->model.seq_len, num_slices);
  }
}

bool IsSameWork(const JobPlan& a, const JobPlan& b) {
  return a.schedule == b.schedule && a.config.slices == b.config.slices &&
         a.config.sizes.tensor == b.config.sizes.tensor && a.config.plan == b.config.plan &&
         a.micro_batch_size == b.micro_batch_size;
}

}  // namespace

Comparison CompareSchemes(const std::vector<Job>& jobs, const GivenNumbers& given,
                          const MeasureOptions& options) {
  Comparison comparison;
  for (Job job : jobs) {
    try {
      SetNumbers(given, &job.config);
      const JobPlan plan = PlanFromFlags(job.config);
      const auto same = std::ranges::find_if(comparison.rows, [&](const ComparisonRow& row) {
        return plan.config.pass == Pass::kForward && IsSameWork(row.benchmark.plan, plan);
      });
      if (same != comparison.rows.end()) {
        same->same_schedule.push_back(job.scheme);
      } else {
        comparison.rows.push_back({.benchmark = {job, plan, options}, .same_schedule = {}});
      }
    } catch (const Error& error) {
      comparison.left_out.push_back({job.scheme, error.what()});
    }
  }
  return comparison;
}

}  // namespace sluice
