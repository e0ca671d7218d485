#include "core/cli/main.h"

#include <cxxabi.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <typeinfo>

#include "core/base/error.h"
#include "core/cli/build_info.h"
#include "core/cli/flags.h"

namespace sluice {
namespace {

constexpr int kFailureExitCode = 1;
constexpr useconds_t kGraceUs = 10'000'000;

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      escaped += c == '\n' ? "\\n" : fmt::format("\\x{:02x}", byte);
    } else {
      escaped += c;
    }
  }
  return escaped;
}

// Messages contain values that the user gave. These must neither start a second line nor control
// the terminal. A very long message is cut in the middle, because its end says what is wrong.
std::string OnOneLine(std::string_view text) {
  constexpr size_t kHead = 3000;
  constexpr size_t kTail = 1000;
  if (text.size() <= kHead + kTail) return Escaped(text);
  return Escaped(text.substr(0, kHead)) + " [...] " + Escaped(text.substr(text.size() - kTail));
}

void PrintError(std::string_view text) {
  std::fflush(stdout);
  const std::string line = "error: " + OnOneLine(text) + "\n";
  std::fputs(line.c_str(), stderr);
}

// The environment variables that a launcher sets for each of its processes.
struct LauncherVariables {
  const char* rank;
  const char* size;
  const char* job;
};
constexpr LauncherVariables kLaunchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMIX_NAMESPACE"},
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_ID"},
};

// Whether a launcher started this process as a rank other than the first. A single variable may be
// left over from another program, so all three must be set.
bool IsLaterRank() {
  const auto number = [](const char* variable) {
    const char* text = std::getenv(variable);
    return text == nullptr ? -1 : std::atol(text);
  };
  for (const LauncherVariables& launcher : kLaunchers) {
    const long rank = number(launcher.rank);
    if (rank > 0 && rank < number(launcher.size) && std::getenv(launcher.job) != nullptr) {
      return true;
    }
  }
  return false;
}

std::string TypeName(const std::exception& exception) {
  const char* mangled = typeid(exception).name();
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(mangled, nullptr, nullptr, &status), &std::free);
  return status == 0 ? name.get() : mangled;
}

int Answer(Request request, const ProgramInfo& program, const std::function<int()>& run) {
  switch (request) {
    case Request::kHelp:
      fmt::print("{}\n\n  {}\n\nFlags, as --name=value:\n{}", program.purpose, program.example,
                 FlagsHelp());
      return 0;
    case Request::kVersion:
      fmt::print("{}", BuildInfoText(GetBuildInfo()));
      return 0;
    case Request::kRun:
      return run();
  }
  return kFailureExitCode;
}

int RunAndReport(int argc, char** argv, const ProgramInfo& program,
                 const std::function<int()>& run) {
  try {
    return Answer(ParseFlags(argc, argv), program, run);
  } catch (const Error& error) {
    // A launcher ends all ranks when the first one fails. If this rank survives the grace period,
    // the error is its own.
    if (IsLaterRank()) usleep(kGraceUs);
    PrintError(error.what());
    return kBadInputExitCode;
  } catch (const std::bad_alloc&) {
    PrintError("out of memory: an allocation failed; use a smaller model, batch or sequence");
  } catch (const std::exception& exception) {
    PrintError(fmt::format("{}: {}", TypeName(exception), exception.what()));
  } catch (...) {
    PrintError("an exception of unknown type ended the program");
  }
  return kFailureExitCode;
}

}  // namespace

int Main(int argc, char** argv, const ProgramInfo& program, const std::function<int()>& run) {
  const int exit_code = RunAndReport(argc, argv, program, run);
  if (exit_code != 0) {
    std::fflush(nullptr);
    // exit() could hang: exit handlers of libraries may wait for threads that are stuck after a
    // failed allocation.
    _exit(exit_code);
  }
  // A table cut short by a full disk must not end in success.
  errno = 0;
  const bool was_flushed = std::fflush(stdout) == 0;
  if (was_flushed && !std::ferror(stdout)) return 0;
  const std::string reason = errno != 0 ? std::strerror(errno) : "an earlier write failed";
  PrintError("cannot write to standard output: " + reason);
  return kFailureExitCode;
}

}  // namespace sluice
