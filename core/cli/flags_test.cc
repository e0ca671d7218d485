#include "core/cli/flags.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "core/base/error.h"

SLUICE_INT_FLAG(n_steps, 10, 1, 1000, "timed steps");
SLUICE_INT_FLAG(seed, 1, 0, INT64_MAX, "seed");
SLUICE_INT_LIST_FLAG(slice_lens, 1, 64, "tokens in each slice");
SLUICE_NUMBER_FLAG(deadline_s, 5, 0.5, 60, "deadline");
SLUICE_BOOL_FLAG(check, false, "compare");
SLUICE_BOOL_FLAG(notes, true, "a yes-or-no flag whose name begins with no");
SLUICE_TEXT_FLAG(label, "none", "label");
SLUICE_CHOICE_FLAG(dtype, "f32", (std::vector<std::string>{"f32", "f64"}), "element type");
DEFINE_int32(bare, 1, "not declared through the registry");
SLUICE_FLAG_GROUP("Flags of the test");

namespace sluice {
namespace {

class FlagsTest : public testing::Test {
 protected:
  Request Parse(std::initializer_list<const char*> flags) {
    std::vector<const char*> argv = {"program"};
    argv.insert(argv.end(), flags);
    return ParseFlags(static_cast<int>(argv.size()), argv.data());
  }

  // The message that refuses `flags`; empty if they were taken.
  std::string Refusal(std::initializer_list<const char*> flags) {
    try {
      Parse(flags);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

 private:
  gflags::FlagSaver saver_;
};

TEST_F(FlagsTest, KeepsDefaults) {
  EXPECT_EQ(Parse({}), Request::kRun);
  EXPECT_EQ(FLAGS_n_steps, 10);
  EXPECT_FALSE(WasGiven("n_steps"));
}

TEST_F(FlagsTest, TakesBothSpellings) {
  Parse({"--n_steps=3", "--label", "a b", "--deadline_s=0.5", "--dtype", "f64"});
  EXPECT_EQ(FLAGS_n_steps, 3);
  EXPECT_EQ(FLAGS_label, "a b");
  EXPECT_EQ(FLAGS_deadline_s, 0.5);
  EXPECT_EQ(FLAGS_dtype, "f64");
}

TEST_F(FlagsTest, TakesValuesWithEqualsAndDashes) {
  Parse({"--label=a=b"});
  EXPECT_EQ(FLAGS_label, "a=b");
  Parse({"--label=--n_steps"});
  EXPECT_EQ(FLAGS_label, "--n_steps");
}

TEST_F(FlagsTest, TakesYesAndNo) {
  Parse({"--check", "--nonotes"});
  EXPECT_TRUE(FLAGS_check);
  EXPECT_FALSE(FLAGS_notes);
  Parse({"--nocheck", "--notes"});
  EXPECT_FALSE(FLAGS_check);
  EXPECT_TRUE(FLAGS_notes);
  Parse({"--check=true"});
  EXPECT_TRUE(FLAGS_check);
}

TEST_F(FlagsTest, TakesTheEndsOfARange) {
  Parse({"--n_steps=1", "--seed=9223372036854775807"});
  EXPECT_EQ(FLAGS_n_steps, 1);
  EXPECT_EQ(FLAGS_seed, INT64_MAX);
  Parse({"--n_steps=1000", "--seed=0"});
  EXPECT_EQ(FLAGS_n_steps, 1000);
}

TEST_F(FlagsTest, ReadsDigitsAsDecimal) {
  Parse({"--n_steps=010"});
  EXPECT_EQ(FLAGS_n_steps, 10);
}

TEST_F(FlagsTest, RefusesWhatIsNoIntegerInRange) {
  for (const char* value : {"0", "-1", "1001", "1000000000", "9223372036854775808", "4.5", "0x10",
                            " 8", "8 ", "+8", "", "1e2", "1'000", "eight", "-"}) {
    const std::string flag = std::string("--n_steps=") + value;
    EXPECT_EQ(Refusal({flag.c_str()}),
              std::string("--n_steps '") + value +
                  "' is not allowed: it must be an integer from 1 to 1000");
  }
  EXPECT_EQ(FLAGS_n_steps, 10);
}

TEST_F(FlagsTest, RefusesWhatIsNoNumberInRange) {
  for (const char* value : {"0", "60.1", "nan", "inf", "-inf", "", "5s", " 5"}) {
    EXPECT_NE(Refusal({(std::string("--deadline_s=") + value).c_str()}), "") << value;
  }
}

TEST_F(FlagsTest, RefusesBadLists) {
  EXPECT_EQ(Refusal({"--slice_lens=1,64"}), "");
  for (const char* value : {"", ",", "1,", ",1", "1,,2", "1,65", "1;2", "1, 2"}) {
    EXPECT_NE(Refusal({(std::string("--slice_lens=") + value).c_str()}), "") << value;
  }
}

TEST_F(FlagsTest, RefusesUnknownChoices) {
  EXPECT_EQ(Refusal({"--dtype=f23"}), "unknown --dtype 'f23'; did you mean 'f32'? known: f32, f64");
  EXPECT_EQ(Refusal({"--check=yes"}), "--check 'yes' is not allowed: it must be true or false");
}

TEST_F(FlagsTest, RefusesUnknownFlagsWithTheNearest) {
  const std::string refusal = Refusal({"--nsteps=8"});
  EXPECT_TRUE(refusal.starts_with("unknown flag '--nsteps'; did you mean '--n_steps'? known: "))
      << refusal;
  EXPECT_EQ(Refusal({"--help=3"}), "--help takes no value");
  EXPECT_EQ(Refusal({"--version=1"}), "--version takes no value");
  EXPECT_NE(Refusal({"-n_steps=8"}).find("did you mean '--n_steps'"), std::string::npos);
  EXPECT_NE(Refusal({"--non_steps"}).find("unknown flag"), std::string::npos);
  EXPECT_NE(Refusal({"--nocheck=true"}).find("unknown flag"), std::string::npos);
  for (const char* flag : {"--", "-", "--=3", "--no", "-8"}) EXPECT_NE(Refusal({flag}), "") << flag;
}

TEST_F(FlagsTest, HidesTheFlagsOfGflagsItself) {
  for (const char* flag : {"--flagfile=x", "--fromenv=n_steps", "--undefok=x", "--helpfull",
                           "--tab_completion_word=x", "--bare=2"}) {
    EXPECT_NE(Refusal({flag}).find("unknown flag"), std::string::npos) << flag;
  }
  EXPECT_EQ(FlagsHelp().find("flagfile"), std::string::npos);
  EXPECT_EQ(FlagsHelp().find("bare"), std::string::npos);
}

TEST_F(FlagsTest, HelpHasTheTitleOfTheFileBeforeItsFlags) {
  EXPECT_TRUE(FlagsHelp().starts_with("\nFlags of the test\n  --check\n")) << FlagsHelp();
}

TEST_F(FlagsTest, RefusesAFlagGivenTwice) {
  EXPECT_EQ(Refusal({"--n_steps=1", "--n_steps=2"}), "--n_steps is given twice: '1' and '2'");
  EXPECT_EQ(Refusal({"--check", "--nocheck"}), "--check is given twice: 'true' and 'false'");
  EXPECT_NE(Refusal({"--n_steps=1", "--n_steps=1"}), "");
}

TEST_F(FlagsTest, RefusesArgumentsThatAreNoFlags) {
  EXPECT_EQ(Refusal({"n_steps=8"}),
            "unexpected argument 'n_steps=8': flags are given as --name=value");
  EXPECT_NE(Refusal({"--check", "false"}), "");
  EXPECT_NE(Refusal({""}), "");
}

TEST_F(FlagsTest, RefusesAMissingValue) {
  EXPECT_EQ(Refusal({"--n_steps"}), "--n_steps needs a value: integer from 1 to 1000");
  EXPECT_EQ(Refusal({"--dtype", "--check"}), "--dtype needs a value: one of f32 | f64");
  EXPECT_EQ(Refusal({"--label="}), "--label is empty: it needs a value");
}

TEST_F(FlagsTest, SetsNothingWhenAnyFlagIsRefused) {
  EXPECT_NE(Refusal({"--n_steps=3", "--dtype=f16"}), "");
  EXPECT_EQ(FLAGS_n_steps, 10);
  EXPECT_FALSE(WasGiven("n_steps"));
}

TEST_F(FlagsTest, KnowsWhatWasGiven) {
  Parse({"--n_steps=10"});
  EXPECT_TRUE(WasGiven("n_steps"));
  EXPECT_FALSE(WasGiven("seed"));
  EXPECT_NO_THROW(RefuseTogether({"n_steps", "seed"}));
  Parse({"--n_steps=10", "--seed=4"});
  EXPECT_THROW(RefuseTogether({"label", "n_steps", "seed"}), Error);
}

TEST_F(FlagsTest, AsksForHelpOrVersionOnly) {
  EXPECT_EQ(Parse({"--n_steps=0", "--help"}), Request::kHelp);
  EXPECT_EQ(Parse({"--version"}), Request::kVersion);
  EXPECT_EQ(FLAGS_n_steps, 10);
}

}  // namespace
}  // namespace sluice
