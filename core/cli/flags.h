// Command line flags, strict: a value that is not understood whole and in range is refused by name
// before the program starts, never guessed at.
//
// A program declares its flags at namespace scope of its .cc file, each with what it allows, and
// hands its work to Main (main.h), which calls ParseFlags:
//
//   SLUICE_INT_FLAG(n_steps, 10, 1, 1'000'000, "timed steps");
//   SLUICE_CHOICE_FLAG(model, "test", sluice::ModelNames(), "which named model");
//
// The values are FLAGS_n_steps (int64_t) and FLAGS_model (std::string), as gflags makes them.  A
// bare DEFINE_int64 makes no flag that the command line can set: only the declarations below do.
//
// On the command line: --name=value, --name value, and for yes-or-no flags --name, --noname and
// --name=true or =false.  Everything else is refused: unknown flags (with the nearest known one),
// flags given twice, missing or empty values, and arguments that are no flag at all.
#pragma once

#include <gflags/gflags.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/parse.h"

namespace sluice {

// What a flag takes.  The declarations below choose one; a program with a syntax of its own (a
// list of shapes, say) may make another and declare the flag with SLUICE_TEXT_FLAG_OF.
struct FlagType {
  // In a word or two, for --help: "integer".
  std::string name;

  // What is allowed, read after the name: "from 1 to 1000000".  Asked late, so that it may use any
  // global.
  std::function<std::string()> allowed;

  // Throws Error unless `text` is allowed; `what` names the flag in the message ("--n_steps").
  std::function<void(std::string_view what, std::string_view text)> check;

  // Returns the value that the program sees for a `text` that is allowed; absent: the text itself.
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

// Checks every argument after argv[0], then sets the flags.  Throws Error, with no flag set, on the
// first argument that is not allowed.  --help or --version anywhere asks for just that: nothing
// else is looked at.
Request ParseFlags(int argc, const char* const* argv);

// Whether the last ParseFlags saw `name` (no dashes), be it with its default value.
bool WasGiven(std::string_view name);

// Throws Error naming both if two of `names` (no dashes) were given on the command line.
void RefuseTogether(const std::vector<std::string>& names);

// The flags of this program by name, with type, what is allowed, default and meaning.
std::string FlagsHelp();

namespace internal {

struct FlagRegistration {
  FlagRegistration(std::string name, FlagType type);
};

}  // namespace internal
}  // namespace sluice

#define SLUICE_REGISTER_FLAG_(name, type) \
  static const ::sluice::internal::FlagRegistration sluice_flag_##name(#name, type)

// An integer of [min, max]: int64_t FLAGS_<name>.
#define SLUICE_INT_FLAG(name, default_value, min, max, help) \
  DEFINE_int64(name, default_value, help);                   \
  SLUICE_REGISTER_FLAG_(name, ::sluice::IntegerFlag(::sluice::IntegerRange{min, max}))

// An integer of [min, max] without a default of its own: ask WasGiven before using FLAGS_<name>.
// The help says what holds where it is not given ("default: the model's").
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

// Yes or no: bool FLAGS_<name>.
#define SLUICE_BOOL_FLAG(name, default_value, help) \
  DEFINE_bool(name, default_value, help);           \
  SLUICE_REGISTER_FLAG_(name, ::sluice::BoolFlag())

// Any text but the empty one: std::string FLAGS_<name>.
#define SLUICE_TEXT_FLAG(name, default_value, help) \
  SLUICE_TEXT_FLAG_OF(name, default_value, ::sluice::TextFlag(), help)

// One of `choices`, an expression of type std::vector<std::string> that is evaluated when the
// command line is parsed: std::string FLAGS_<name>.  A braced list needs its type written out.
#define SLUICE_CHOICE_FLAG(name, default_value, choices, help)                                    \
  SLUICE_TEXT_FLAG_OF(name, default_value,                                                        \
                      ::sluice::ChoiceFlag([]() -> std::vector<std::string> { return choices; }), \
                      help)

// The path of a file to be read: std::string FLAGS_<name>, empty where not given.  A relative path
// counts from where the user called the program (core/cli/user_path.h); FLAGS_<name> can be opened
// as it is.
#define SLUICE_INPUT_PATH_FLAG(name, help) \
  SLUICE_TEXT_FLAG_OF(name, "", ::sluice::InputPathFlag(), help)

// The same of a file to be written.  A folder, a path without a parent folder and one that may not
// be written are refused before any work.
#define SLUICE_OUTPUT_PATH_FLAG(name, help) \
  SLUICE_TEXT_FLAG_OF(name, "", ::sluice::OutputPathFlag(), help)

// A text with a FlagType of the caller's making: std::string FLAGS_<name>.
#define SLUICE_TEXT_FLAG_OF(name, default_value, type, help) \
  DEFINE_string(name, default_value, help);                  \
  SLUICE_REGISTER_FLAG_(name, type)
