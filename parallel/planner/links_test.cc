#include "parallel/planner/links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "core/base/error.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string MessageOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Links, ReadsTheTextForm) {
  const Links links = ParseLinksText("nvlink:370GB/s,3us;net:45.5GB/s,12us", 8);
  EXPECT_FALSE(links.is_measured);
  EXPECT_EQ(links.ranks_per_host, 8);
  EXPECT_EQ(links.within_host.name, "nvlink");
  EXPECT_THAT(links.within_host.bytes_per_s, ElementsAre(370e9));
  EXPECT_THAT(links.within_host.latency_s, ElementsAre(3 * 1e-6));
  ASSERT_TRUE(links.between_hosts);
  EXPECT_THAT(links.between_hosts->bytes_per_s, ElementsAre(45.5e9));
  EXPECT_FALSE(ParseLinksText("shm:9MB/s,800ns", 0).between_hosts);
}

TEST(Links, RefusesWrongText) {
  const auto message = [](const char* text) {
    return MessageOf([text] { ParseLinksText(text, 8); });
  };
  EXPECT_THAT(message("nvlink"), HasSubstr("links 'nvlink' is not allowed"));
  EXPECT_THAT(message("nvlink:370GB/s"), HasSubstr("NAME:BANDWIDTH,LATENCY"));
  EXPECT_THAT(message("nvlink:370Gb/s,3us"), HasSubstr("bandwidth of link nvlink '370Gb/s'"));
  EXPECT_THAT(message("nvlink:370GB/s,3"), HasSubstr("latency of link nvlink '3'"));
  EXPECT_THAT(message("nvlink:0GB/s,3us"), HasSubstr("greater than 0"));
  EXPECT_THAT(message("a:1GB/s,1us;b:1GB/s,1us;c:1GB/s,1us"), HasSubstr("'c:1GB/s,1us' is not"));
  EXPECT_THAT(message("a:1GB/s,1us;"), HasSubstr("'' is not"));
}

TEST(Links, ReadsWhatItWrites) {
  Links links = {.is_measured = true,
                 .ranks_per_host = 2,
                 .commit = "abc",
                 .device_name = "AMD EPYC",
                 .date = "2026-12-01T17:00:00Z",
                 .within_host = {.name = "memory",
                                 .latency_s = {1e-6, 2e-6},
                                 .bytes_per_s = {5e9},
                                 .bytes_per_s_both_ways = {4e9},
                                 .compute_slowdown = {1.02}}};
  EXPECT_EQ(ParseLinks(FormatLinks(links), "links.json"), links);
  links.between_hosts = links.within_host;
  EXPECT_EQ(ParseLinks(FormatLinks(links), "links.json"), links);
}

TEST(Links, NamesTheFieldThatIsWrong) {
  std::string text = FormatLinks(ParseLinksText("a:1GB/s,1us", 8));
  text.replace(text.find("1000000000.0"), 12, "0");
  EXPECT_EQ(MessageOf([&] { ParseLinks(text, "links.json"); }),
            "links.json: within_host.bytes_per_s: 0 is not allowed: it must be greater than 0");
  EXPECT_THAT(MessageOf([&] { ParseLinks(text.substr(0, 40), "links.json"); }),
              HasSubstr("cut short"));
}

}  // namespace
}  // namespace sluice
