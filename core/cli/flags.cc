#include "core/cli/flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "core/base/atomic_file.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/cli/user_path.h"

namespace sluice {
namespace {

using FlagTypes = std::map<std::string, FlagType, std::less<>>;

// Both maps are filled while globals are initialized, so they must exist before the first of them.
FlagTypes& Registry() {
  static FlagTypes flags;
  return flags;
}

std::map<std::string, std::string>& TitleOfFile() {
  static std::map<std::string, std::string> titles;
  return titles;
}

bool IsBool(const std::string& name) {
  return gflags::GetCommandLineFlagInfoOrDie(name.c_str()).type == "bool";
}

struct Setting {
  std::string name;
  std::string value;
};

std::string UnknownFlag(std::string_view argument) {
  std::vector<std::string> known = {"--help", "--version"};
  for (const auto& [name, type] : Registry()) known.push_back("--" + name);
  return UnknownName("flag", argument, known);
}

std::string Takes(const FlagType& type) {
  const std::string allowed = type.allowed();
  return allowed.empty() ? type.name : type.name + " " + allowed;
}

// Returns the flag at `arguments[*position]` and moves past it and its value.
Setting TakeFlag(const std::vector<std::string_view>& arguments, size_t* position) {
  const std::string_view argument = arguments[(*position)++];
  if (argument.empty() || argument[0] != '-') {
    throw Error(fmt::format("unexpected argument '{}': flags are given as --name=value", argument));
  }
  const size_t equals = std::min(argument.find('='), argument.size());
  const std::string_view dashed = argument.substr(0, equals);
  if (!dashed.starts_with("--")) throw Error(UnknownFlag(dashed));
  if (dashed == "--help" || dashed == "--version") {
    throw Error(fmt::format("{} takes no value", dashed));
  }
  const std::string_view name = dashed.substr(2);
  const bool has_value = equals < argument.size();

  auto flag = Registry().find(name);
  if (flag == Registry().end() && name.starts_with("no") && !has_value) {
    flag = Registry().find(name.substr(2));
    if (flag != Registry().end() && IsBool(flag->first)) return {flag->first, "false"};
    flag = Registry().end();
  }
  if (flag == Registry().end()) throw Error(UnknownFlag(dashed));
  if (has_value) return {flag->first, std::string(argument.substr(equals + 1))};
  if (IsBool(flag->first)) return {flag->first, "true"};
  if (*position == arguments.size() || arguments[*position].starts_with("--")) {
    throw Error(fmt::format("{} needs a value: {}", dashed, Takes(flag->second)));
  }
  return {flag->first, std::string(arguments[(*position)++])};
}

// Breaks `text` into lines of at most `width`, each after the first indented by `indent`.
std::string Wrapped(std::string_view text, size_t indent, size_t width) {
  std::string wrapped;
  size_t column = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    if (column > 0 && column + 1 + word.size() > width) {
      wrapped += "\n" + std::string(indent, ' ');
      column = 0;
    }
    if (column > 0) wrapped += ' ';
    column += word.size() + (column > 0 ? 1 : 0);
    wrapped += word;
    begin = end + 1;
  }
  return wrapped;
}

std::string FlagHelp(const gflags::CommandLineFlagInfo& info) {
  constexpr size_t kIndent = 6;
  constexpr size_t kWidth = 90;
  const FlagType& type = Registry().at(info.name);
  // A default that is not an allowed value means "not given".
  std::string default_text;
  try {
    type.check(info.name, info.default_value);
    default_text = "; default " + info.default_value;
  } catch (const Error&) {
  }
  const std::string indent(kIndent, ' ');
  return fmt::format("  --{}\n{}{}\n{}{}\n", info.name, indent,
                     Wrapped(info.description, kIndent, kWidth), indent,
                     Wrapped(fmt::format("({}{})", Takes(type), default_text), kIndent, kWidth));
}

void CheckNotEmpty(std::string_view what, std::string_view text) {
  if (text.empty()) throw Error(fmt::format("{} is empty: it needs a value", what));
}

std::string RangeText(IntegerRange range) {
  return fmt::format("from {} to {}", range.min, range.max);
}

}  // namespace

FlagType BoolFlag() {
  return {
      "true or false", [] { return ""; },
      [](std::string_view what, std::string_view text) {
        if (text == "true" || text == "false") return;
        throw Error(fmt::format("{} '{}' is not allowed: it must be true or false", what, text));
      }};
}

FlagType TextFlag() {
  return {"text", [] { return ""; }, CheckNotEmpty};
}

FlagType IntegerFlag(IntegerRange range) {
  return {
      "integer", [range] { return RangeText(range); },
      [range](std::string_view what, std::string_view text) { ParseInteger(what, text, range); }};
}

FlagType IntegerListFlag(IntegerRange range) {
  return {"integers separated by commas, each", [range] { return RangeText(range); },
          [range](std::string_view what, std::string_view text) {
            ParseIntegerList(what, text, range);
          }};
}

FlagType NumberFlag(NumberRange range) {
  return {"number", [range] { return fmt::format("from {} to {}", range.min, range.max); },
          [range](std::string_view what, std::string_view text) {
            const double value = ParseNumber(what, text);
            if (value >= range.min && value <= range.max) return;
            throw Error(fmt::format("{} '{}' is not allowed: it must be a number from {} to {}",
                                    what, text, range.min, range.max));
          }};
}

FlagType ChoiceFlag(std::function<std::vector<std::string>()> choices) {
  return {"one of", [choices] { return fmt::format("{}", fmt::join(choices(), " | ")); },
          [choices](std::string_view what, std::string_view text) {
            const std::vector<std::string> known = choices();
            if (std::find(known.begin(), known.end(), text) == known.end()) {
              throw Error(UnknownName(what, text, known));
            }
          }};
}

FlagType InputPathFlag() {
  return {"path of a file to read", [] { return ""; }, CheckNotEmpty, UserPath};
}

FlagType OutputPathFlag() {
  return {"path of a file to write", [] { return ""; },
          [](std::string_view what, std::string_view text) {
            CheckNotEmpty(what, text);
            try {
              CheckWritable(UserPath(text));
            } catch (const Error& error) {
              throw Error(fmt::format("{}: {}", what, error.what()));
            }
          },
          UserPath};
}

Request ParseFlags(int argc, const char* const* argv) {
  const std::vector<std::string_view> arguments(argv + std::min(argc, 1), argv + argc);
  for (const std::string_view argument : arguments) {
    if (argument == "--help") return Request::kHelp;
    if (argument == "--version") return Request::kVersion;
  }

  std::map<std::string, std::string> settings;
  for (size_t position = 0; position < arguments.size();) {
    auto [name, value] = TakeFlag(arguments, &position);
    const auto [place, is_new] = settings.emplace(name, value);
    if (!is_new) {
      throw Error(fmt::format("--{} is given twice: '{}' and '{}'", name, place->second, value));
    }
    const FlagType& type = Registry().at(name);
    type.check("--" + name, value);
    if (type.resolve) place->second = type.resolve(value);
  }
  for (const auto& [name, value] : settings) {
    SLUICE_CHECK(!gflags::SetCommandLineOption(name.c_str(), value.c_str()).empty());
  }
  return Request::kRun;
}

bool WasGiven(std::string_view name) {
  const auto flag = Registry().find(name);
  SLUICE_CHECK(flag != Registry().end());
  return !gflags::GetCommandLineFlagInfoOrDie(flag->first.c_str()).is_default;
}

void RefuseTogether(const std::vector<std::string>& names) {
  const std::string* first = nullptr;
  for (const std::string& name : names) {
    if (!WasGiven(name)) continue;
    if (first != nullptr) {
      throw Error(fmt::format("--{} and --{} cannot be given together", *first, name));
    }
    first = &name;
  }
}

std::string FlagsHelp() {
  std::vector<gflags::CommandLineFlagInfo> flags;
  gflags::GetAllFlags(&flags);
  std::erase_if(flags, [](const auto& flag) { return !Registry().contains(flag.name); });
  // GetAllFlags sorts by file. In reverse order the flags that programs share (programs/) precede
  // those of one program (bench/, correctness/).
  std::ranges::stable_sort(flags, std::ranges::greater(), &gflags::CommandLineFlagInfo::filename);
  std::string help, file;
  for (const gflags::CommandLineFlagInfo& flag : flags) {
    const auto title = TitleOfFile().find(flag.filename);
    if (flag.filename != file && title != TitleOfFile().end()) {
      help += fmt::format("\n{}\n", title->second);
    }
    file = flag.filename;
    help += FlagHelp(flag);
  }
  return help;
}

namespace internal {

FlagRegistration::FlagRegistration(std::string name, FlagType type) {
  const auto [place, is_new] = Registry().emplace(std::move(name), std::move(type));
  SLUICE_CHECK(is_new);
}

FlagGroupRegistration::FlagGroupRegistration(std::string file, std::string title) {
  TitleOfFile().emplace(std::move(file), std::move(title));
}

}  // namespace internal
}  // namespace sluice
