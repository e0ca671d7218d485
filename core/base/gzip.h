// Compresses text as the gzip format (RFC 1952) has it, through zlib.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

std::string Gzip(std::string_view text);

}  // namespace sluice
