// Strict command line flags: a value that does not parse as a whole or is out of range is an error
// that names the flag, before the program starts.
//
// A program declares its flags with their allowed values at namespace scope of its .cc file. Main
// (main.h) calls ParseFlags:
//
//   SLUICE_INT_FLAG(n_steps, 10, 1, 1'000'000, "timed steps");
//   SLUICE_CHOICE_FLAG(model, "test", sluice::ModelNames(), "which named model");
//
// The values are FLAGS_n_steps (int64_t) and FLAGS_model (std::string), which gflags defines. A
// bare DEFINE_int64 is not a flag of the command line: only the declarations below are.
//
// On the command line: --name=value, --name value, and for boolean flags --name, --noname,
// --name=true and --name=false. Everything else is an error: an unknown flag (the message suggests
// the nearest known one), a flag given twice, a missing or empty value, an argument without dashes.
//
// gflags stores each flag with its default, its description and the file that declares it, converts
// text to values, and records which flags were set. Scanning the command line and checking values
// are our own. gflags::ParseCommandLineFlags accepts -name, hexadecimal and padded numbers, two
// values for one flag (the last one counts) and flags of its own such as --flagfile, and on an
// error it prints and exits. Its validators see the converted value and can only accept or reject
// it, so they cannot tell "0x10" from "16", and neither an error message nor --help could state the
// range or the choices.
#pragma once

#include <gflags/gflags.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/parse.h"

namespace sluice {

// The values that a flag accepts. The declarations below choose one of the types; a program with a
// syntax of its own (a list of shapes, say) declares its flag with SLUICE_TEXT_FLAG_OF.
struct FlagType {
  // A word or two for --help: "integer".
  std::string name;

  // What is allowed, printed after the name: "from 1 to 1000000". It is called after static
  // initialization, so it may use any global.
  std::function<std::string()> allowed;

  // Throws Error unless `text` is allowed; `what` names the flag in the message ("--n_steps").
  std::function<void(std::string_view what, std::string_view text)> check;

  // Returns the value that the program sees for an allowed `text`; without it, the text itself.
  std::function<std::string(std::string_view text)> resolve = nullptr;
};

FlagType BoolFlag();
FlagType TextFlag();
FlagType IntegerFlag(IntegerRange range);
FlagType IntegerListFlag(IntegerRange range);
FlagType ChoiceFlag(std::function<std::vector<std::string>()> choices);
FlagType InputPathFlag();
FlagType OutputPathFlag();

struct NumberRange {
  double min;
  double max;
};
FlagType NumberFlag(NumberRange range);

enum class Request { kRun, kHelp, kVersion };

// Checks every argument after argv[0], then sets the flags. Throws Error, with no flag set, on the
// first argument that is not allowed. With --help or --version anywhere, no other argument is read.
Request ParseFlags(int argc, const char* const* argv);

// Whether ParseFlags has set `name` (no dashes), even to its default value.
bool WasGiven(std::string_view name);

// Throws Error naming both if two of `names` (no dashes) were given on the command line.
void RefuseTogether(const std::vector<std::string>& names);

// The flags of this program, each with its description, type, allowed values and default. They are
// grouped by the file that declares them, below the title of SLUICE_FLAG_GROUP.
std::string FlagsHelp();

namespace internal {

struct FlagRegistration {
  FlagRegistration(std::string name, FlagType type);
};

struct FlagGroupRegistration {
  FlagGroupRegistration(std::string file, std::string title);
};

}  // namespace internal
}  // namespace sluice

#define SLUICE_REGISTER_FLAG_(name, type) \
  static const ::sluice::internal::FlagRegistration sluice_flag_##name(#name, type)

// The title in --help of all flags that this file declares.
#define SLUICE_FLAG_GROUP(title) \
  static const ::sluice::internal::FlagGroupRegistration sluice_flag_group(__FILE__, title)

// An integer of [min, max]: int64_t FLAGS_<name>.
#define SLUICE_INT_FLAG(name, default_value, min, max, help) \
  DEFINE_int64(name, default_value, help);                   \
  SLUICE_REGISTER_FLAG_(name, ::sluice::IntegerFlag(::sluice::IntegerRange{min, max}))

// An integer of [min, max] without a default value: call WasGiven before using FLAGS_<name>. The
// help text says what the program does without it ("default: the model's").
#define SLUICE_OPTIONAL_INT_FLAG(name, min, max, help) \
  static_assert((min) > 0, "0 stands for not given");  \
  SLUICE_INT_FLAG(name, 0, min, max, help)

// Integers of [min, max] separated by commas: std::string FLAGS_<name>, empty where not given; read
// it with ParseIntegerList.
#define SLUICE_INT_LIST_FLAG(name, min, max, help) \
  SLUICE_TEXT_FLAG_OF(name, "", ::sluice::IntegerListFlag(::sluice::IntegerRange{min, max}), help)

// A finite number of [min, max]: double FLAGS_<name>.
#define SLUICE_NUMBER_FLAG(name, default_value, min, max, help) \
  DEFINE_double(name, default_value, help);                     \
  SLUICE_REGISTER_FLAG_(name, ::sluice::NumberFlag(::sluice::NumberRange{min, max}))

// A boolean: bool FLAGS_<name>.
#define SLUICE_BOOL_FLAG(name, default_value, help) \
  DEFINE_bool(name, default_value, help);           \
  SLUICE_REGISTER_FLAG_(name, ::sluice::BoolFlag())

// Any non-empty text: std::string FLAGS_<name>.
#define SLUICE_TEXT_FLAG(name, default_value, help) \
  SLUICE_TEXT_FLAG_OF(name, default_value, ::sluice::TextFlag(), help)

// One of `choices`, an expression of type std::vector<std::string> that is evaluated when the
// command line is parsed: std::string FLAGS_<name>.  A braced list needs its type written out.
#define SLUICE_CHOICE_FLAG(name, default_value, choices, help)                                    \
  SLUICE_TEXT_FLAG_OF(name, default_value,                                                        \
                      ::sluice::ChoiceFlag([]() -> std::vector<std::string> { return choices; }), \
                      help)

// The path of a file to read: std::string FLAGS_<name>, empty where not given. A relative path is
// resolved against the folder in which the user called the program (core/cli/user_path.h), so that
// FLAGS_<name> can be opened as it is.
#define SLUICE_INPUT_PATH_FLAG(name, help) \
  SLUICE_TEXT_FLAG_OF(name, "", ::sluice::InputPathFlag(), help)

// The same for a file to write. A folder, a path whose parent folder does not exist and a path
// without write permission are errors before any work.
#define SLUICE_OUTPUT_PATH_FLAG(name, help) \
  SLUICE_TEXT_FLAG_OF(name, "", ::sluice::OutputPathFlag(), help)

// A text with a FlagType defined by the caller: std::string FLAGS_<name>.
#define SLUICE_TEXT_FLAG_OF(name, default_value, type, help) \
  DEFINE_string(name, default_value, help);                  \
  SLUICE_REGISTER_FLAG_(name, type)
