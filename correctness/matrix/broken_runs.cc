#include "correctness/matrix/broken_runs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "parallel/comm/conformance/conformance.h"
#include "parallel/exec/executor.h"

namespace sluice {
namespace {

constexpr int kBrokenStep = 3;

void PrintLine(const char* key, const nlohmann::json& value) {
  fmt::print("{}\n", nlohmann::json{{key, value}}.dump());
  std::fflush(stdout);
}

void Break(std::string_view how) {
  if (how == "kill") std::raise(SIGKILL);
  if (how == "stop") std::raise(SIGSTOP);
  if (how == "exit") std::_Exit(0);
}

}  // namespace

std::vector<std::string> DisagreementNames() {
  std::vector<std::string> names;
  for (const DisagreementCase& test : DisagreementCases()) names.emplace_back(test.name);
  return names;
}

void RunDisagreement(RankStation& station, std::string_view name) {
  Communicator& comm = station.Staged();
  PrintLine("pid", getpid());
  for (const DisagreementCase& test : DisagreementCases()) {
    if (test.name != name) continue;
    if (comm.rank() == 0) {
      for (const std::string_view text : test.texts) {
        PrintLine("expect",
                  fmt::format(fmt::runtime(text), fmt::arg("last", comm.world_size() - 1)));
      }
    }
    test.run(comm);
    throw std::logic_error("nothing was noticed");
  }
}

std::vector<std::string> BreakNames() { return {"kill", "stop", "exit"}; }

void RunBroken(RankStation& station, const MatrixRow& row, const BrokenRank& broken) {
  const JobPlan plan = PlanJob(row.config);
  const RankEnvironment rank = station.Of(row.config.precision);
  Executor executor(plan, rank.backend, rank.device_world);
  PrintLine("pid", getpid());
  for (int step = 0;; ++step) {
    if (step == 1 && broken.is_captured) executor.Capture();
    if (step == kBrokenStep && rank.world.rank() == broken.rank) Break(broken.how);
    executor.RunStep();
    if (step == kBrokenStep) throw std::logic_error("nothing was noticed");
  }
}

}  // namespace sluice
