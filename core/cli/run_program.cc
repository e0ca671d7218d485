#include "core/cli/run_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>

#include "core/base/check.h"

namespace sluice {
namespace {

// The output goes to files, since a program that prints much would block on a full pipe.
struct FileCloser {
  void operator()(FILE* file) const { std::fclose(file); }
};
using TemporaryFile = std::unique_ptr<FILE, FileCloser>;

TemporaryFile MakeTemporaryFile() {
  TemporaryFile file(std::tmpfile());
  SLUICE_CHECK(file != nullptr);
  return file;
}

std::string Contents(const TemporaryFile& file) {
  std::rewind(file.get());
  std::string text;
  for (int c = std::fgetc(file.get()); c != EOF; c = std::fgetc(file.get())) {
    text += static_cast<char>(c);
  }
  return text;
}

int ExitCode(pid_t child) {
  int status = 0;
  SLUICE_CHECK_EQ(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

ProgramResult RunProgram(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  const TemporaryFile out = MakeTemporaryFile();
  const TemporaryFile err = MakeTemporaryFile();
  posix_spawn_file_actions_t actions;
  SLUICE_CHECK_EQ(posix_spawn_file_actions_init(&actions), 0);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, fileno(out.get()), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(err.get()), STDERR_FILENO);

  const auto start = std::chrono::steady_clock::now();
  pid_t child = 0;
  SLUICE_CHECK_EQ(posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ), 0);
  const int exit_code = ExitCode(child);
  const std::chrono::duration<double, std::milli> elapsed =
      std::chrono::steady_clock::now() - start;
  posix_spawn_file_actions_destroy(&actions);
  return {exit_code, Contents(out), Contents(err), elapsed.count()};
}

}  // namespace sluice
