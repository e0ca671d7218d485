// A program with one flag of every kind, which the tests of this folder run as a user would.

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <thread>

#include "core/base/error.h"
#include "core/cli/flags.h"
#include "core/cli/main.h"

SLUICE_INT_FLAG(n_steps, 10, 1, 1'000'000, "timed steps");
SLUICE_OPTIONAL_INT_FLAG(seq_len, 1, 1 << 20, "tokens in a sequence; default: the model's");
SLUICE_INT_LIST_FLAG(slice_lens, 1, 1 << 20, "tokens in each slice");
SLUICE_NUMBER_FLAG(deadline_s, 5, 0, 3600, "seconds that an operation may take");
SLUICE_BOOL_FLAG(check, true, "compare with the reference");
SLUICE_TEXT_FLAG(label, "none", "a word written into the result");
SLUICE_CHOICE_FLAG(end, "return",
                   (std::vector<std::string>{"return", "miss", "refuse", "memory", "logic",
                                             "unknown", "stuck"}),
                   "how the program ends");
SLUICE_OUTPUT_PATH_FLAG(json_out, "where the result goes");

namespace {

int Run() {
  sluice::RefuseTogether({"seq_len", "slice_lens"});
  fmt::print("n_steps={} seq_len={} slice_lens={} deadline_s={} check={} label={}\n", FLAGS_n_steps,
             FLAGS_seq_len, FLAGS_slice_lens, FLAGS_deadline_s, FLAGS_check, FLAGS_label);
  if (sluice::WasGiven("json_out")) fmt::print("json_out={}\n", FLAGS_json_out);
  // Stands for a library whose exit handler waits for threads that are stuck without memory.
  if (FLAGS_end == "stuck") {
    std::atexit([] { std::this_thread::sleep_for(std::chrono::minutes(1)); });
    throw std::bad_alloc();
  }
  if (FLAGS_end == "refuse") throw sluice::Error("two\nlines and a \x1b[31mcolour");
  if (FLAGS_end == "memory") throw std::bad_alloc();
  if (FLAGS_end == "logic") throw std::logic_error("a broken rule");
  if (FLAGS_end == "unknown") throw 7;
  return FLAGS_end == "miss" ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  return sluice::Main(
      argc, argv,
      {.purpose = "Shows how a program reads its flags.", .example = "demo --n_steps=3"}, Run);
}
